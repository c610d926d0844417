"""Places for computations: a few run at once in threads, some more wait, the rest is told to retry.

A place belongs to a computation until its *thread* is done with it. A client that goes away only
asks the thread to stop; whoever comes next waits until it did.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import Request

from layerscope.app.errors import Problem
from layerscope.engine.foundations.matmul.cores import keep_to_cores

__all__ = ["ClientGone", "Compute", "Place", "while_connected"]

T = TypeVar("T")
RETRY_SECONDS = 2


class ClientGone(Exception):
    """The client closed its connection before its answer was ready."""


class Place:
    """The right to run one computation in a thread, and the means to stop it.

    A place that was taken must be used by ``start`` or given back by ``leave``.
    """

    def __init__(self, compute: Compute) -> None:
        self._compute = compute
        self._stop = threading.Event()
        self._started = False

    def stop(self) -> None:
        """Ask the computation to end at its next layer; from any thread, any number of times."""
        self._stop.set()

    def stopped(self) -> bool:
        """Whether the computation was asked to end: the ``should_stop`` of the engine."""
        return self._stop.is_set()

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Run ``work`` in a thread; the place is free again when the thread is done with it."""
        self._started = True
        return self._compute.launch(self, work)

    def leave(self) -> None:
        """Give a place back that was never used; nothing happens to one that was."""
        if not self._started:
            self._started = True
            self._compute.release(self)


class Compute:
    """At most ``concurrent`` computations at once, in their own threads, off the event loop.

    Args:
        concurrent: how many run at once.
        waiting: how many requests may wait for one of them to end.
        wait_seconds: how long one waits at most.
        torch_threads: how many threads torch uses for each; one, so that those that run at once
            do not wait for one another's cores.

    Errors:
        ``Problem`` 503 with ``Retry-After`` from ``take`` when no place can be had.
    """

    def __init__(
        self, concurrent: int, waiting: int, wait_seconds: float, torch_threads: int = 1
    ) -> None:
        self.concurrent = concurrent
        self.max_waiting = waiting
        self.wait_seconds = wait_seconds
        self._places: set[Place] = set()
        self._queue: deque[asyncio.Future[Place]] = deque()
        self._threads = ThreadPoolExecutor(
            concurrent, "compute", initializer=keep_to_cores, initargs=(torch_threads,)
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the server is stopping."""
        return self._closed

    @property
    def active(self) -> int:
        """How many places are taken."""
        return len(self._places)

    @property
    def waiting(self) -> int:
        """How many requests wait for a place."""
        return sum(not waiter.done() for waiter in self._queue)

    async def take(self) -> Place:
        """A place, at once or after the computations of those who came before."""
        self._loop = asyncio.get_running_loop()
        if self._closed:
            raise self._busy("The server is stopping.")
        if self.active < self.concurrent:
            return self._new_place()
        if self.waiting >= self.max_waiting:
            raise self._busy(
                f"{self.active} computations are running and {self.waiting} requests are waiting, "
                "as many as this server takes."
            )
        waiter: asyncio.Future[Place] = self._loop.create_future()
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

    async def run(self, work: Callable[[Callable[[], bool]], T]) -> T:
        """``work(should_stop)`` in a thread; when this call is cancelled, the work is stopped."""
        place = await self.take()
        try:
            return await asyncio.wrap_future(place.start(lambda: work(place.stopped)))
        finally:
            place.stop()

    def launch(self, place: Place, work: Callable[[], T]) -> Future[T]:
        """For ``Place.start`` only."""
        assert self._loop is not None  # noqa: S101 - set when the place was taken
        loop = self._loop

        def give_back(_: Future[T]) -> None:
            # The loop may be gone when a server is stopped by force; then nobody waits either.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self.release, place)

        try:
            future = self._threads.submit(work)
        except RuntimeError:  # no thread to be had: the server is stopping
            self.release(place)
            raise
        future.add_done_callback(give_back)
        return future

    def release(self, place: Place) -> None:
        """Free a place and hand it to whoever has waited longest; on the event loop only."""
        self._places.discard(place)
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(self._new_place())
                return

    def close(self) -> None:
        """Stop everything that runs, refuse everything that waits or comes; on the event loop."""
        self._closed = True
        for place in self._places:
            place.stop()
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_exception(self._busy("The server is stopping."))

    def join(self) -> None:
        """Wait until every thread has ended; blocks."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _new_place(self) -> Place:
        place = Place(self)
        self._places.add(place)
        return place

    @staticmethod
    def _busy(detail: str) -> Problem:
        return Problem(
            503,
            detail,
            kind="busy",
            title="Too many computations at once",
            headers={"Retry-After": str(RETRY_SECONDS)},
        )


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
            if not each.done():
                each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
