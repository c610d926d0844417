"""Log lines written by a thread of their own, so that who reads them slowly holds up nobody.

A pipe takes 64 KiB; then a write waits for its reader, and with it the loop and every client.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import TextIO

import structlog

__all__ = ["MOST_LINES", "Lines"]

log = structlog.stdlib.get_logger("layerscope.log")

MOST_LINES = 10_000
"""So many may wait, some megabytes; further ones are counted, and the count is logged."""
MOST_AT_ONCE = 100
LAST_SECONDS = 1.0
"""How long the end of a program waits for whoever reads its log."""


class Lines:
    """Writes to ``stream``, within `in_background` by a thread.

    A stream of `logging.StreamHandler`, whose lock makes of each line one call.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: queue.Queue[str | None] | None = None
        self._lost = 0

    def write(self, text: str) -> None:
        """Another line."""
        waiting = self._waiting
        if waiting is None:
            self._stream.write(text)
            return
        try:
            waiting.put_nowait(text)
        except queue.Full:
            self._lost += 1

    def flush(self) -> None:
        """Let it be seen, where it is not the thread that sees to that."""
        if self._waiting is None:
            self._stream.flush()

    @contextlib.contextmanager
    def in_background(self) -> Iterator[None]:
        """From here to the end, ``write`` waits for nobody."""
        if self._waiting is not None:
            yield
            return
        waiting = self._waiting = queue.Queue[str | None](MOST_LINES)
        thread = threading.Thread(
            target=self._work, args=(waiting,), name="layerscope log", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            self._waiting = None
            with contextlib.suppress(queue.Full):
                waiting.put(None, timeout=LAST_SECONDS)
                thread.join(LAST_SECONDS)

    def _work(self, waiting: queue.Queue[str | None]) -> None:
        text = waiting.get()
        while text is not None:
            lines = [text]
            while not waiting.empty() and len(lines) < MOST_AT_ONCE and text is not None:
                text = waiting.get()
                lines.append(text or "")
            with contextlib.suppress(OSError, ValueError):  # its reader has gone, or it was closed
                self._stream.write("".join(lines))
                self._stream.flush()
            if text is not None:
                if self._lost:
                    lost, self._lost = self._lost, 0
                    log.warning("log lines were lost, nobody read them in time", lines=lost)
                text = waiting.get()
