"""What a worker's work yields, as an iterator of batches."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

from layerscope.app.compute import Compute, Lane, Work
from layerscope.engine.basis.cancellation import Stopped

__all__ = ["Batches"]

BATCH_SECONDS = 0.016
"""One frame of a screen: nobody sees what comes oftener."""

T = TypeVar("T")


def _never(_: object) -> bool:
    return False


class Batches(Generic[T]):
    """What ``work(should_stop)`` yields, as lists of all that gathered since the last.

    The first item comes at once, and so does one that is not patient; what is patient gathers for
    `BATCH_SECONDS`. The work begins without being asked for, as soon as it gets the lane and a
    place, and goes on however slowly its reader reads.

        async for batch in Batches(compute, partial(result_events, experiment, limit)):
            ...

    Args:
        compute: where it runs.
        work: asks ``should_stop`` between its steps, and raises `Stopped` soon after it said so.
        lane: on which one work runs at a time.
        quick: whether it takes a fraction of a second at most.
        patient: whether an item may wait for others; a module's function.

    Errors: the reader is raised what the work raises, `Stopped` too, once it read what came
    before; and ``Problem`` where it could not be run to its end.
    """

    def __init__(
        self,
        compute: Compute,
        work: Work[object],
        *,
        lane: Lane | None = None,
        quick: bool = False,
        patient: Callable[[T], bool] | None = None,
    ) -> None:
        self.ahead = lane.waiting + 1 if lane is not None and lane.busy else 0
        """How many had to be waited for on the lane when this came."""
        self._patient = patient or _never
        self._loop = asyncio.get_running_loop()
        self._items: deque[T] = deque()
        self._begun, self._some, self._at_once = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._next_batch = 0.0
        values = compute.stream(work, lane, quick=quick, started=self._begun.set, patient=patient)
        self._reading = self._loop.create_task(self._read(values))
        self._reading.add_done_callback(self._end)

    async def started(self) -> None:
        """Wait for the lane and the place; whoever is cancelled meanwhile wants no batches either.

        Errors: ``Problem`` 503 when there is no place to be had.
        """
        try:
            await self._begun.wait()
        except asyncio.CancelledError:
            self.stop()
            raise
        if not self._items and (error := self._error()):
            raise error

    async def ready(self, seconds: float) -> bool:
        """Whether there is something to be read, or will be within so many seconds."""
        return await _within(self._some, seconds)

    def stop(self) -> None:
        """Nobody reads on: the work ends at its next step, or is never begun."""
        self._reading.cancel()

    def __aiter__(self) -> Batches[T]:
        return self

    async def __anext__(self) -> list[T]:
        await self._some.wait()
        await _within(self._at_once, self._next_batch - self._loop.time())
        batch = list(self._items)
        self._items.clear()
        if not self._reading.done():
            self._some.clear()
            self._at_once.clear()
        if not batch:
            raise self._error() or StopAsyncIteration
        if any(map(self._patient, batch)):
            self._next_batch = self._loop.time() + BATCH_SECONDS
        return batch

    async def _read(self, values: AsyncGenerator[T | None]) -> None:
        async with contextlib.aclosing(values):
            async for item in values:
                if item is not None:
                    self._items.append(item)
                    self._some.set()
                    if not self._patient(item):
                        self._at_once.set()

    def _end(self, _: asyncio.Task[None]) -> None:
        for event in (self._begun, self._some, self._at_once):
            event.set()

    def _error(self) -> BaseException | None:
        if not self._reading.done():
            return None
        return Stopped() if self._reading.cancelled() else self._reading.exception()


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for ``event``, at most so long; whether it came."""
    if event.is_set() or seconds <= 0:
        return event.is_set()
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
