"""Engine events as they come: computed in a thread, sent as server-sent events, stopped with the
connection; and a track on which one measurement runs at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any, Generic, TypeVar

import orjson
import structlog
from fastapi import FastAPI
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

from layerscope.app.compute import Compute, Place
from layerscope.app.errors import Problem
from layerscope.engine.basis.cancellation import ShouldStop, Stopped

__all__ = ["Live", "Track", "follow", "track_of"]

KEEPALIVE_SECONDS = 15.0
MOST_WAITING = 8

T = TypeVar("T")
Wire = tuple[str, str]
"""An event's name and its data."""

log = structlog.stdlib.get_logger("layerscope.foundations")


class Track:
    """One measurement at a time: two side by side would time each other.

    Whoever comes next waits; more than a few are told to come back.
    """

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
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
            raise Problem(
                503,
                f"One race runs at a time, and {self.waiting} wait already.",
                kind="busy",
                title="Too many races at once",
                headers={"Retry-After": "10"},
            )

    async def enter(self) -> None:
        """Wait for the track; ``leave`` must follow."""
        self.waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self.waiting -= 1

    def leave(self) -> None:
        """Free the track; on the event loop."""
        self._lock.release()


def track_of(app: FastAPI) -> Track:
    """The application's one track."""
    if not hasattr(app.state, "race_track"):
        app.state.race_track = Track()
    track: Track = app.state.race_track
    return track


class _Bridge(Generic[T]):
    """Carries events from the thread to the event loop; an error, or nothing more, ends them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[tuple[T | None, Exception | None]] = asyncio.Queue()

    def call(self, action: Callable[..., object], *arguments: object) -> None:
        """``action`` on the event loop, which may be gone when a server is stopped by force."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(action, *arguments)

    def run(self, work: Callable[[ShouldStop], Iterator[T]], place: Place) -> None:
        """In the thread: everything that ``work`` yields, until it is asked to stop."""
        error: Exception | None = None
        try:
            for event in work(place.stopped):
                self.call(self._events.put_nowait, (event, None))
        except Stopped:
            pass
        except Exception as failure:
            error = failure
        self.call(self._events.put_nowait, (None, error))

    async def __aiter__(self) -> AsyncGenerator[T, None]:
        while True:
            event, error = await self._events.get()
            if error is not None:
                raise error
            if event is None:
                return
            yield event


async def follow(
    compute: Compute, work: Callable[[ShouldStop], Iterator[T]], track: Track | None = None
) -> AsyncGenerator[T, None]:
    """What ``work(should_stop)`` yields in a thread, as it comes; closing this stops the work.

    The track stays taken until the *thread* is through, as a place does.

    Errors: ``Problem`` 503 when no place can be had; whatever the work raises but `Stopped`.
    """
    if track is not None:
        await track.enter()
    try:
        place = await compute.take()
    except BaseException:
        if track is not None:
            track.leave()
        raise
    bridge: _Bridge[T] = _Bridge()
    future = place.start(lambda: bridge.run(work, place))
    if track is not None:
        future.add_done_callback(lambda _: bridge.call(track.leave))
    try:
        async for event in bridge:
            yield event
    finally:
        place.stop()


class Live(EventSourceResponse):
    """The response that runs ``work`` and sends what it yields.

    Sends ``waiting`` first while the track is taken, ``problem`` when the computation fails, and
    last ``end`` (unless the work's own last event has that name).
    """

    def __init__(
        self,
        compute: Compute,
        work: Callable[[ShouldStop], Iterator[Wire]],
        track: Track | None = None,
    ) -> None:
        self._compute, self._work, self._track = compute, work, track
        self._events = self._send()
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(self._events, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()

    async def _send(self) -> AsyncGenerator[bytes, None]:
        if self._track is not None and self._track.busy:
            yield _wire("waiting", _json({"ahead": self._track.waiting + 1}))
        name = ""
        running = follow(self._compute, self._work, self._track)
        try:
            # Closed first of all: it may be waiting for the next event of ``running``.
            async with contextlib.aclosing(_with_keepalive(running)) as events:
                async for item in events:
                    if item is None:
                        yield KEEPALIVE_COMMENT
                        continue
                    name, data = item
                    yield _wire(name, data)
        except Problem as problem:
            yield _wire("problem", _json(problem.document))
            return
        except Exception:
            log.exception("stream failed")
            failed = Problem(500, "Something went wrong in the server; its log has the details.")
            yield _wire("problem", _json(failed.document))
            return
        finally:
            await running.aclose()
        if name != "end":
            yield _wire("end", "{}")


async def _with_keepalive(running: AsyncIterator[T]) -> AsyncGenerator[T | None, None]:
    """What comes, and None after every quarter of a minute without anything."""
    following = asyncio.ensure_future(anext(running))
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=KEEPALIVE_SECONDS)
            if not done:
                yield None
                continue
            try:
                event = following.result()
            except StopAsyncIteration:
                return
            yield event
            following = asyncio.ensure_future(anext(running))
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _wire(name: str, data: str) -> bytes:
    return format_sse_event(event=name, data_str=data)
