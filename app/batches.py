"""The one bridge from computing threads to the event loop: ``work`` as an iterator of batches."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Generic, TypeVar

from layerscope.app.compute import Compute, Lane, Slot
from layerscope.engine.basis.cancellation import ShouldStop, Stopped

__all__ = ["Batches", "Work"]

BATCH_SECONDS = 0.016
"""One frame of a screen: nobody sees what comes oftener."""

T = TypeVar("T")
Work = Callable[[ShouldStop], Iterator[T]]
"""What runs in a thread: a module's function, its arguments bound by ``functools.partial``."""


class Batches(Generic[T]):
    """What ``work(should_stop)`` yields, as lists of all that gathered since the last.

    The first item comes at once, and so does one that is not patient; what is patient gathers for
    `BATCH_SECONDS`. The work begins without being asked for, as soon as it gets the lane and a
    slot, and gives both back when its *thread* is through.

        async for batch in Batches(compute, partial(result_events, experiment, limit)):
            ...

    Args:
        compute: where it runs.
        work: asks ``should_stop`` between its steps, and raises `Stopped` soon after it said so.
        lane: on which one work runs at a time.
        patient: whether an item may wait for others.

    Errors: the reader is raised what the work raises, `Stopped` too, once it read what came
    before; and ``Problem`` 503 when no slot can be had.
    """

    def __init__(
        self,
        compute: Compute,
        work: Work[T],
        *,
        lane: Lane | None = None,
        patient: Callable[[T], bool] = lambda _: False,
    ) -> None:
        self.ahead = lane.waiting + 1 if lane is not None and lane.busy else 0
        """How many had to be waited for on the lane when this came."""
        self._work, self._patient = work, patient
        self._loop = asyncio.get_running_loop()
        self._items: deque[T] = deque()
        self._some, self._at_once = asyncio.Event(), asyncio.Event()
        self._told = 0
        """What the loop was woken for: 1 that there is something, 2 that it is urgent."""
        self._ended = False
        self._error: BaseException | None = None
        self._next_batch = 0.0
        self._slot: Slot | None = None
        self._starting = self._loop.create_task(self._start(compute, lane))
        self._starting.add_done_callback(self._begun)

    async def started(self) -> None:
        """Wait for the lane and the slot; whoever is cancelled meanwhile wants no batches either.

        Errors: ``Problem`` 503 when there is no slot to be had.
        """
        try:
            await asyncio.wait({self._starting})
        except asyncio.CancelledError:
            self.stop()
            raise
        if self._slot is None and self._error is not None:
            raise self._error

    async def ready(self, seconds: float) -> bool:
        """Whether there is something to be read, or will be within so many seconds."""
        return self._ended or await _within(self._some, seconds)

    def stop(self) -> None:
        """Nobody reads on: the work ends at its next step, or is never begun."""
        self._starting.cancel()
        if self._slot is not None:
            self._slot.stop()

    def __aiter__(self) -> Batches[T]:
        return self

    async def __anext__(self) -> list[T]:
        while True:
            if not self._ended:
                await self._some.wait()
                await _within(self._at_once, self._next_batch - self._loop.time())
            self._told = 0
            self._some.clear()
            self._at_once.clear()
            ended = self._ended  # before the queue is emptied: nothing comes after it
            batch = [self._items.popleft() for _ in range(len(self._items))]
            if batch:
                if any(map(self._patient, batch)):
                    self._next_batch = self._loop.time() + BATCH_SECONDS
                return batch
            if ended:
                raise self._error or StopAsyncIteration

    async def _start(self, compute: Compute, lane: Lane | None) -> None:
        self._slot = await compute.take(lane)
        self._slot.start(self._run).add_done_callback(lambda work: self._end(_error(work)))

    def _begun(self, starting: asyncio.Task[None]) -> None:
        if error := _error(starting):
            self._end(error)

    def _run(self, should_stop: ShouldStop) -> None:
        """In the thread."""
        for item in self._work(should_stop):
            self._items.append(item)
            self._wake(1 if self._patient(item) else 2)

    def _end(self, error: BaseException | None) -> None:
        self._error = error
        self._ended = True
        self._wake(2)

    def _wake(self, level: int) -> None:
        # Waking the loop costs a system call; a loop that already knows is left alone.
        if level > self._told:
            self._told = level
            with contextlib.suppress(RuntimeError):  # the server was stopped by force
                self._loop.call_soon_threadsafe(self._set, level)

    def _set(self, level: int) -> None:
        self._some.set()
        if level > 1:
            self._at_once.set()


def _error(done: asyncio.Future[None] | Future[None]) -> BaseException | None:
    return Stopped() if done.cancelled() else done.exception()


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
