"""Places for computations: a few run at once in workers, some more wait, the rest is told to retry.

A place belongs to a computation until its *worker* is done with it. A client that goes away only
asks the worker to stop; whoever comes next waits until it did, or until it was ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request

from layerscope.app.errors import Problem
from layerscope.app.workers.pool import KILL_SECONDS, OverTime, Worker, WorkerLost, Workers
from layerscope.app.workers.process import OverMemory, Task
from layerscope.app.workers.turns import Turns
from layerscope.engine.basis.cancellation import ShouldStop, Stopped

__all__ = ["DYING_SECONDS", "ClientGone", "Compute", "Lane", "Work", "asking", "while_connected"]

T = TypeVar("T")
Work = Callable[[ShouldStop], T]
"""What a worker runs: a module's function, its arguments bound by ``functools.partial``."""
asking: ContextVar[str] = ContextVar("asking", default="")
"""Who asks, as far as the server knows."""


DYING_SECONDS = 0.5
"""A worker that was lost without a word so soon was killed before it had the work."""


class ClientGone(Exception):
    """The client closed its connection before its answer was ready."""


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
        """Refuse when too many wait already.

        Errors: ``Problem`` 503 with ``Retry-After``.
        """
        if self.waiting >= self.most_waiting:
            raise self._busy(f"One race runs at a time, and {self.waiting} wait already.")

    async def enter(self, seconds: float) -> None:
        """Wait so long for the lane; ``leave`` must follow.

        Errors: ``Problem`` 503 with ``Retry-After`` when it did not become free.
        """
        self.waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await self._lock.acquire()
        except TimeoutError:
            raise self._busy(f"One race runs at a time; none ended within {seconds:g} s.") from None
        finally:
            self.waiting -= 1

    def leave(self) -> None:
        """Free the lane; on the event loop."""
        self._lock.release()

    @staticmethod
    def _busy(detail: str) -> Problem:
        headers = {"Retry-After": "10"}
        return Problem(503, detail, kind="busy", title="Too many races at once", headers=headers)


@dataclass(slots=True, eq=False)
class _Place:
    """The right to have one worker."""

    client: str
    spare: bool
    lane: Lane | None = None
    worker: Worker | None = None


class Compute:
    """At most ``concurrent`` computations at once, in workers, and a spare place.

    The spare place is for what is quick, and for who has none while others have all: a neuron's
    page does not wait for experiments, nor one client for another's.

    Args:
        workers: the processes.
        concurrent: how many compute at once.
        waiting: how many requests of one client may wait.
        wait_seconds: how long one waits at most.
        seconds: how long one may compute.
        memory_bytes: how much one may hold.
        torch_threads: how many threads torch uses for each; one, so that those that run at once
            do not wait for one another's cores.
    """

    def __init__(
        self, workers: Workers, concurrent: int, waiting: int, wait_seconds: float,
        *, seconds: float, memory_bytes: int, torch_threads: int = 1,
    ) -> None:  # fmt: skip
        self.workers = workers
        self.concurrent = concurrent
        self.max_waiting = waiting
        self.wait_seconds = wait_seconds
        self.lane = Lane()
        """Where what measures time runs, alone."""
        self.closed = False
        """Whether the server is stopping."""
        self._seconds, self._memory_bytes = seconds, memory_bytes
        self._torch_threads = torch_threads
        self._places: set[_Place] = set()
        self._waiting: dict[bool, Turns[asyncio.Future[_Place]]] = {True: Turns(), False: Turns()}
        """Who waits for a place, the quick apart."""
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def active(self) -> int:
        """How many places are taken."""
        return len(self._places)

    @property
    def waiting(self) -> int:
        """How many requests wait for a place."""
        return sum(map(len, self._waiting.values()))

    async def run(self, work: Work[T], lane: Lane | None = None, *, quick: bool = False) -> T:
        """What ``work`` returns; when this call is cancelled, the work is stopped.

        Errors: as of `stream`.
        """
        result: Any = None
        async with contextlib.aclosing(self.stream(work, lane, quick=quick)) as values:
            async for value in values:
                result = value
        return result  # type: ignore[no-any-return]

    async def stream(
        self, work: Work[Any], lane: Lane | None = None, *, quick: bool = False,
        started: Callable[[], object] = lambda: None, patient: Callable[[Any], bool] | None = None,
    ) -> AsyncGenerator[Any]:  # fmt: skip
        """What ``work`` yields, as it does; at last what it returns, None of an iterator.

        Args:
            work: is pickled, with all that is bound to it.
            lane: on which one work runs at a time.
            quick: whether it takes a fraction of a second at most.
            started: called when there is a place.
            patient: whether a value may wait a moment for others; a module's function.

        Errors:
            what the work raises; ``Problem`` 503 with ``Retry-After`` when no place can be had or
            its process died, 422 when it took more time or memory than it may.
        """
        place = await self._take(lane, quick)
        try:
            started()
            task = Task(work, self._memory_bytes, self._torch_threads, patient)
            async with contextlib.aclosing(self._values(place, task)) as values:
                async for value in values:
                    yield value
        except (Stopped, WorkerLost) as ended:
            if self.closed:
                raise self._busy("The server is stopping.") from ended
            if isinstance(ended, Stopped):
                raise
            raise Problem(503, f"{ended}; ask again.".capitalize(), kind="lost",
                          title="The computation was lost") from ended  # fmt: skip
        except (OverTime, OverMemory) as over:
            detail = f"This computation takes more than this server allows: {over}."
            raise Problem(422, detail, kind="over-limit", title="Over a limit") from over
        finally:
            self._leave(place)

    async def _values(self, place: _Place, task: Task) -> AsyncGenerator[Any]:
        """What a worker yields; of another one where the first was dying when it was lent."""
        loop = asyncio.get_running_loop()
        for last in (False, True):
            place.worker = await self.workers.lend()
            if self.closed:
                raise self._busy("The server is stopping.")
            said, since = False, loop.time()
            try:
                async with contextlib.aclosing(place.worker.run(task, self._seconds)) as values:
                    async for value in values:
                        said = True
                        yield value
                return
            except WorkerLost:
                if last or said or loop.time() - since > DYING_SECONDS:
                    raise
            self.workers.take_back(place.worker)

    def close(self) -> None:
        """Stop everything that runs, refuse everything that waits or comes; on the event loop.

        What doesn't stop within a second is ended, whoever still reads it.
        """
        self.closed = True
        running = [place.worker for place in self._places if place.worker is not None]
        for worker in running:
            worker.stop()
        asyncio.get_running_loop().call_later(KILL_SECONDS, _end, running)
        for turns in self._waiting.values():
            while (following := turns.take()) is not None:
                following[1].set_exception(self._busy("The server is stopping."))

    async def join(self) -> None:
        """Wait until every computation has ended, or was ended."""
        await asyncio.gather(*self._leaving, return_exceptions=True)
        self.workers.close()

    async def _take(self, lane: Lane | None, quick: bool) -> _Place:
        if lane is None:
            return await self._place(quick)
        await lane.enter(self.wait_seconds)
        try:
            place = await self._place(quick)
        except BaseException:
            lane.leave()
            raise
        place.lane = lane
        return place

    async def _place(self, quick: bool) -> _Place:
        if self.closed:
            raise self._busy("The server is stopping.")
        client = asking.get()
        place = self._free(client, quick)
        if place is not None:
            return place
        turns = self._waiting[quick]
        if turns.of(client) >= self.max_waiting:
            raise self._busy(
                f"{self.active} computations are running and {turns.of(client)} requests of yours "
                "are waiting, as many as this server takes."
            )
        waiter: asyncio.Future[_Place] = asyncio.get_running_loop().create_future()
        turns.put(client, waiter)
        try:
            await asyncio.wait({waiter}, timeout=self.wait_seconds)
        except asyncio.CancelledError:
            if waiter.done() and waiter.exception() is None:  # handed over at the last moment
                self._leave(waiter.result())
            raise
        finally:
            turns.remove(client, waiter)
        if waiter.done():
            return waiter.result()
        raise self._busy(f"No place became free within {self.wait_seconds:g} s.")

    def _free(self, client: str, quick: bool) -> _Place | None:
        """A place for who comes now, where there is one that nobody waits for."""
        if sum(not place.spare for place in self._places) < self.concurrent:
            place = _Place(client, spare=False)
        elif not any(place.spare for place in self._places) and (quick or self._is_new(client)):
            place = _Place(client, spare=True)
        else:
            return None
        self._places.add(place)
        return place

    def _is_new(self, client: str) -> bool:
        return all(place.client != client for place in self._places)

    def _leave(self, place: _Place) -> None:
        """Free a place: at once, or when its worker has stopped, which nobody has to wait for."""
        if place.worker is None or self.workers.take_back(place.worker):
            self._release(place)
            return
        task = asyncio.get_running_loop().create_task(self._stop(place, place.worker))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _stop(self, place: _Place, worker: Worker) -> None:
        try:
            await self.workers.stop(worker)
        finally:
            self._release(place)

    def _release(self, place: _Place) -> None:
        """Hand a place to whoever is next in turn, a spare one to the quick or the new."""
        self._places.discard(place)
        if place.lane is not None:
            place.lane.leave()
        for turns in (self._waiting[place.spare], self._waiting[not place.spare]):
            fits = self._is_new if place.spare and turns is self._waiting[False] else None
            if (following := turns.take(fits)) is not None:
                client, waiter = following
                new = _Place(client, place.spare)
                self._places.add(new)
                waiter.set_result(new)
                return

    @staticmethod
    def _busy(detail: str) -> Problem:
        return Problem(
            503,
            detail,
            kind="busy",
            title="Too many computations at once",
        )


def _end(workers: list[Worker]) -> None:
    for worker in workers:
        if worker.busy:
            worker.kill()


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
