"""A cold page that is written while its experiment runs, once: cells first, words, drawings."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog

from layerscope.app.batches import Batches
from layerscope.app.figures.strip import Cell, cell
from layerscope.app.pages.lab.progress import Progress
from layerscope.app.pages.lab.verdict import VerdictWords
from layerscope.app.results import Checked
from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.diagnosis.run import Backward, Event, FixEvent, Forward, TrialEvent

__all__ = ["Row", "Writing"]

PATIENCE_SECONDS = 1.0
"""How long a page waits for fixes, which come at its end if they take longer, and for the layer
that is worth a look, which its scripts ask for then."""
FAILED = VerdictWords("error", "No result", "The computation failed; the server's log says why.")

log = structlog.stdlib.get_logger("layerscope.pages")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the strip; ``cells`` ends with the pass. None among them: no more is ready."""

    name: str
    title: str
    cells: AsyncIterator[Cell | None]


class Writing:
    """What a page asks for, in this order, while ``running`` feeds ``progress`` with events."""

    def __init__(self, running: Batches[Event | Checked], progress: Progress) -> None:
        self.progress = progress
        self._running = running
        self._ready: deque[Event | Checked] = deque()
        self._written = FAILED

    async def rows(self) -> AsyncIterator[Row]:
        """The activations, first to last, then the gradients, last to first."""
        yield Row("activations", "activations →", self._cells(Forward, "activation"))
        yield Row("gradients", "← gradients", self._cells(Backward, "gradient"))

    async def verdict(self) -> VerdictWords:
        """The verdict as soon as it is known."""
        while self.progress.summary is None and await self._next():
            pass
        self._written = self._words
        return self._written

    async def with_fixes(self) -> VerdictWords:
        """The same, where something is wrong with the fixes that were found in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not self._words.settled and await self._next():
                    pass
        return self._words

    async def late(self) -> AsyncIterator[Progress]:
        """What is known, whenever there is more of it than the verdict waited for."""
        waiting = self._words.waiting
        later = (self._words.check, self._words.tried)
        if later != (self._written.check, self._written.tried):  # came while fixes were waited for
            yield self.progress
        while event := await self._next():
            if isinstance(event, Checked | TrialEvent | FixEvent):
                waiting = self._words.waiting
                yield self.progress
        if waiting:
            yield self.progress

    @property
    def _words(self) -> VerdictWords:
        return (self.progress.verdict if self.progress.summary else None) or FAILED

    async def _cells(
        self, kind: type[Forward] | type[Backward], tensor: str
    ) -> AsyncIterator[Cell | None]:
        while True:
            if not self._ready:
                yield None
            event = await self._next()
            if event is None:
                return
            if not isinstance(event, kind):
                continue
            info = event.info
            if info.ends_block:
                scale = self.progress.gradient_scale if kind is Backward else 1.0
                yield cell(f"{info.block} {info.kind}", getattr(event.record, tensor), scale)
            if info.index == (0 if kind is Backward else self.progress.blocks[-1].after):
                return

    async def _next(self) -> Event | Checked | None:
        """Another event; None when there is no more, for whatever reason."""
        if not self._ready:
            try:
                self._ready.extend(await anext(self._running))
            except (StopAsyncIteration, Stopped):
                pass
            except Exception:
                log.exception("page failed", experiment=self.progress.experiment.to_query())
        if not self._ready:
            self.progress.ended = True
            return None
        event = self._ready.popleft()
        self.progress.take(event)
        return event
