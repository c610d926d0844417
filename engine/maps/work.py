"""One cell's work, as it is sent to a process on this machine or on another.

What it needs is imported when it is first done: the process that only hands works out stays small.
"""

from __future__ import annotations

import os
import select
import threading
from dataclasses import dataclass
from typing import Any

__all__ = ["RUNNER", "GivenUp", "Told", "Work", "done", "ready"]

RUNNER = "LAYERSCOPE_MAP_RUNNER"
"""In the environment of a process on this machine: the number of the one that it works for."""

Work = tuple[int, dict[str, Any], dict[str, Any] | None, str]
"""A sample's place, experiment, training and outcome."""
Told = tuple[int, float | None, str, float]
"""Its place, number and text; and the seconds that it took."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """What is told of a work that nobody has done: its place, and whether the processes that began
    it died; else whoever handed them out did."""

    place: int
    killed: bool


_watching = False


def done(work: Work, build: str) -> Told:
    """The reading of a sample, on one core.

    Errors: ``ValueError`` where this process has another engine than ``build``: its numbers might
    be others.
    """
    _end_with_runner()
    from layerscope.engine.maps.measuring import measured

    return measured(*work, build)


def ready() -> None:
    """Load what works need, so that the first of them need not wait."""
    _end_with_runner()
    from layerscope.engine.maps.measuring import rehearse

    rehearse()


def _end_with_runner() -> None:
    """Of a process that the runner started: end when it has, however it ended."""
    global _watching
    runner = int(os.environ.get(RUNNER, 0))
    if _watching or not runner or os.getpid() == runner:
        return
    _watching = True
    threading.Thread(target=_watch, args=[runner], daemon=True).start()


def _watch(runner: int) -> None:
    try:
        handle = os.pidfd_open(runner)
    except (AttributeError, OSError):  # no such call here; or it has ended already
        while os.getppid() == runner:
            threading.Event().wait(0.5)
    else:
        select.select([handle], [], [])
    os._exit(0)
