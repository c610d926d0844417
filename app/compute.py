"""Slots for computations: a few run at once in threads, some more wait, the rest is told to retry.

A slot belongs to a computation until its *thread* is done with it. A client that goes away only
asks the thread to stop; whoever comes next waits until it did.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from fastapi import Request

from layerscope.app.errors import Problem
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.cores import keep_to_cores

__all__ = ["ClientGone", "Compute", "Lane", "Slot", "while_connected"]

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed its connection before its answer was ready."""


class Slot:
    """The right to run one computation and to stop it; to be used by ``start`` or given back."""

    def __init__(self, compute: Compute) -> None:
        self.lane: Lane | None = None
        """The lane that is left with it."""
        self._compute = compute
        self._stop = threading.Event()
        self._started = False

    def stop(self) -> None:
        """Ask the computation to end at its next layer; from any thread, any number of times."""
        self._stop.set()

    def stopped(self) -> bool:
        """Whether the computation was asked to end: the ``should_stop`` of the engine."""
        return self._stop.is_set()

    def start(self, work: Callable[[ShouldStop], T]) -> Future[T]:
        """Run ``work(should_stop)`` in a thread; the slot is free again when that is through."""
        self._started = True
        return self._compute.launch(self, partial(work, self.stopped))

    def leave(self) -> None:
        """Give a slot back that was never used; nothing happens to one that was."""
        if not self._started:
            self._started = True
            self._compute.release(self)


class Lane:
    """On which one measurement runs at a time: two side by side would time each other.

    Whoever comes next waits; more than a few are told to come back.
    """

    def __init__(self, most_waiting: int = 8) -> None:
        self.most_waiting = most_waiting
        self.waiting = 0
        self._lock = asyncio.Lock()

    @property
    def busy(self) -> bool:
        """Whether somebody measures now."""
        return self._lock.locked()

    def admit(self) -> None:
        """Refuse with a ``Problem`` 503 when too many wait already."""
        if self.waiting >= self.most_waiting:
            raise Problem(
                503,
                f"One race runs at a time, and {self.waiting} wait already.",
                kind="busy",
                title="Too many races at once",
                headers={"Retry-After": "10"},
            )

    async def enter(self) -> None:
        """Wait for the lane; ``leave`` must follow."""
        self.waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self.waiting -= 1

    def leave(self) -> None:
        """Free the lane; on the event loop."""
        self._lock.release()


class Compute:
    """At most ``concurrent`` computations at once, in their own threads, off the event loop.

    Args:
        concurrent: how many run at once.
        waiting: how many requests may wait for one of them to end.
        wait_seconds: how long one waits at most; then a ``Problem`` 503.
        torch_threads: of each; one, so that they do not wait for one another's cores.
    """

    def __init__(
        self, concurrent: int, waiting: int, wait_seconds: float, torch_threads: int = 1
    ) -> None:
        self.concurrent = concurrent
        self.max_waiting = waiting
        self.wait_seconds = wait_seconds
        self.lane = Lane()
        """Where what measures time runs, alone."""
        self._slots: set[Slot] = set()
        self._queue: deque[asyncio.Future[Slot]] = deque()
        self._threads = ThreadPoolExecutor(
            concurrent, "compute", initializer=keep_to_cores, initargs=(torch_threads,)
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closed = False
        """Whether the server is stopping."""

    @property
    def active(self) -> int:
        """How many slots are taken."""
        return len(self._slots)

    @property
    def waiting(self) -> int:
        """How many requests wait for a slot."""
        return sum(not waiter.done() for waiter in self._queue)

    async def take(self, lane: Lane | None = None) -> Slot:
        """A slot, at once or after those who came before; on ``lane``, which it is left with."""
        if lane is None:
            return await self._take()
        await lane.enter()
        try:
            slot = await self._take()
        except BaseException:
            lane.leave()
            raise
        slot.lane = lane
        return slot

    async def _take(self) -> Slot:
        self._loop = asyncio.get_running_loop()
        if self.closed:
            raise self._busy("The server is stopping.")
        if self.active < self.concurrent:
            return self._new_slot()
        if self.waiting >= self.max_waiting:
            raise self._busy(
                f"{self.active} computations are running and {self.waiting} requests are waiting, "
                "as many as this server takes."
            )
        waiter: asyncio.Future[Slot] = self._loop.create_future()
        self._queue.append(waiter)
        try:
            await asyncio.wait({waiter}, timeout=self.wait_seconds)
        except asyncio.CancelledError:
            if not waiter.done():
                waiter.cancel()
            elif waiter.exception() is None:  # handed over at the last moment
                waiter.result().leave()
            raise
        if waiter.done():
            return waiter.result()
        waiter.cancel()
        raise self._busy(f"No place became free within {self.wait_seconds:g} s.")

    async def run(self, work: Callable[[ShouldStop], T], lane: Lane | None = None) -> T:
        """``work(should_stop)`` in a thread; when this call is cancelled, the work is stopped."""
        slot = await self.take(lane)
        try:
            return await asyncio.wrap_future(slot.start(work))
        finally:
            slot.stop()

    def launch(self, slot: Slot, work: Callable[[], T]) -> Future[T]:
        """For ``Slot.start`` only."""
        assert self._loop is not None  # noqa: S101 - set when the slot was taken
        loop = self._loop

        def give_back(_: Future[T]) -> None:
            # The loop may be gone when a server is stopped by force; then nobody waits either.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self.release, slot)

        try:
            future = self._threads.submit(work)
        except RuntimeError:  # no thread to be had: the server is stopping
            self.release(slot)
            raise
        future.add_done_callback(give_back)
        return future

    def release(self, slot: Slot) -> None:
        """Free a slot and hand it to whoever has waited longest; on the event loop only."""
        self._slots.discard(slot)
        if slot.lane is not None:
            slot.lane.leave()
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(self._new_slot())
                return

    def close(self) -> None:
        """Stop everything that runs, refuse everything that waits or comes; on the event loop."""
        self.closed = True
        for slot in self._slots:
            slot.stop()
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_exception(self._busy("The server is stopping."))

    def join(self) -> None:
        """Wait until every thread has ended; blocks."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _new_slot(self) -> Slot:
        slot = Slot(self)
        self._slots.add(slot)
        return slot

    @staticmethod
    def _busy(detail: str) -> Problem:
        return Problem(503, detail, kind="busy", title="Too many computations at once")


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, cancelled as soon as the client closes its connection.

    The request's body must have been read.

    Errors: ``ClientGone``.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()  # nothing happens to what is done
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
