"""Writing to a store that has no time for it at the moment."""

from __future__ import annotations

import time
from collections.abc import Callable

from layerscope.engine.store.errors import Unavailable

__all__ = ["RETRY_SECONDS", "TRIES", "patiently"]

TRIES = 5
RETRY_SECONDS = 2.0


def patiently(write: Callable[[], object], wait: Callable[[float], object] = time.sleep) -> None:
    """Write, and again where the store is busy for a moment; ``wait`` is told how many seconds.

    Errors: ``Unavailable`` after some tries; any other, and those of ``wait``, at once.
    """
    for _ in range(TRIES - 1):
        try:
            write()
        except Unavailable:
            wait(RETRY_SECONDS)
        else:
            return
    write()
