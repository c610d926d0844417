"""An experiment that runs while its page is written: cells as they come, the outcome at the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from layerscope.app.batches import Batches
from layerscope.app.compute import Compute
from layerscope.app.figures import Cell, cell
from layerscope.engine.basis.cancellation import ShouldStop, Stopped
from layerscope.engine.diagnosis.run import Backward, Event, FixEvent, Forward, Start, Summary, run
from layerscope.engine.execution.events import layer_dict
from layerscope.engine.experiment.specification import Experiment

__all__ = ["FLUSH", "Row", "Running", "flushed"]
FLUSH = "\0"
"""Where the page so far must reach the browser: a character that no page may contain."""
FRAME_SECONDS = 0.016
PATIENCE_SECONDS = 1.0
"""How long a page waits for fixes once its verdict is known; a script asks for the rest."""

log = structlog.stdlib.get_logger("layerscope.pages")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the strip; ``cells`` ends with the pass. None among them: no more is ready."""

    name: str
    title: str
    cells: AsyncIterator[Cell | None]


def _events(experiment: Experiment, should_stop: ShouldStop) -> Iterator[Event]:
    return run(experiment, should_stop=should_stop)


def _patient(event: Event) -> bool:
    return isinstance(event, Forward | Backward)


class Running:
    """An experiment that has begun; its events are read in the order of the page's parts."""

    def __init__(self, experiment: Experiment, compute: Compute) -> None:
        self.experiment = experiment
        self.batches = Batches(compute, partial(_events, experiment), patient=_patient)
        self._events: deque[Event] = deque()
        self._layers: list[Forward] = []
        self._last = 0
        self._summary: Summary | None = None
        self._fixes: list[FixEvent] = []
        self.finished = False
        """Whether nothing more comes."""

    async def rows(self) -> AsyncIterator[Row]:
        """The activations, first to last, then the gradients, last to first."""
        yield Row("activations", "activations →", self._cells(Forward, "activation"))
        yield Row("gradients", "← gradients", self._cells(Backward, "gradient"))
        while self._summary is None and await self._next() is not None:
            pass

    async def result(self) -> tuple[dict[str, Any], list[Forward]] | None:
        """The whole result and its layers, once every row was read; None if it was cut short."""
        if self._summary is None:
            return None
        whole = {
            "experiment": self.experiment.to_dict(),
            "layers": [layer_dict(layer.info, layer.record) for layer in self._layers],
            **self._summary.to_dict(),
        }
        return whole, self._layers

    async def fixes(self) -> list[dict[str, Any]]:
        """The ``fix`` events, as far as they are known in time, once the result is there."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await self._next() is not None:
                    pass
        return [fix.to_dict() for fix in self._fixes]

    async def _cells(
        self, kind: type[Forward] | type[Backward], tensor: str
    ) -> AsyncIterator[Cell | None]:
        while True:
            if not self._events:
                yield None
            event = await self._next()
            if event is None:
                return
            if not isinstance(event, kind):
                continue
            info = event.info
            if info.ends_block:
                yield cell(f"{info.block} {info.kind}", getattr(event.record, tensor))
            if info.index == (0 if kind is Backward else self._last):
                return

    async def _next(self) -> Event | None:
        if not self._events:
            self._events.extend(await self._batch())
        if not self._events:
            return None
        event = self._events.popleft()
        if isinstance(event, Start):
            self._last = len(event.layers) - 1
        elif isinstance(event, Forward):
            self._layers.append(event)
        elif isinstance(event, Summary):
            self._summary = event
        elif isinstance(event, FixEvent):
            self._fixes.append(event)
        return event

    async def _batch(self) -> list[Event]:
        """What came since; nothing when the experiment is through, or was cut short."""
        try:
            return await anext(self.batches)
        except (StopAsyncIteration, Stopped):
            pass
        except Exception:
            log.exception("page failed", experiment=self.experiment.to_query())
        self.finished = True
        return []


async def flushed(pieces: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """A template's pieces, sent wherever it says ``FLUSH``, but no oftener than once a frame."""
    gathered: list[str] = []
    loop = asyncio.get_running_loop()
    last = 0.0
    async for piece in pieces:
        if piece != FLUSH:
            gathered.append(piece)
        elif gathered and loop.time() - last > FRAME_SECONDS:
            last = loop.time()
            yield "".join(gathered).encode()
            gathered.clear()
    yield "".join(gathered).encode()
