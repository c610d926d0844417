"""How a long computation is asked to end: it asks, between steps, whether to go on."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["ShouldStop", "Stopped", "never", "stop_if"]

ShouldStop = Callable[[], bool]
"""Who is given one raises `Stopped` within a layer, or a row, of the moment it is true."""


class Stopped(Exception):
    """The computation was asked to stop before it was done."""


def never() -> bool:
    """The answer of who never wants to stop."""
    return False


def stop_if(should_stop: ShouldStop) -> None:
    """Errors: ``Stopped`` once ``should_stop()`` is true."""
    if should_stop():
        raise Stopped
