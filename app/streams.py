"""Answers that are written while their work runs: server-sent events, and pages that grow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import groupby
from typing import Any, Protocol, TypeVar

import structlog
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from layerscope.app.encoding import json_text
from layerscope.app.errors import Problem
from layerscope.engine.basis.cancellation import Stopped

__all__ = ["EventStream", "GrowingResponse", "Running", "Wire", "encoded"]

KEEPALIVE_SECONDS = 15.0
RETRY_MILLISECONDS = 2000

Wire = tuple[str, str] | tuple[str, str, str]
"""An event's name, its data, ready to be sent: encoded where it was computed, and its id, if any.

Data without a name is HTML, which htmx puts into the page.
"""

T = TypeVar("T")

log = structlog.stdlib.get_logger("layerscope.streams")


class _Event(Protocol):
    @property
    def event(self) -> str: ...

    def to_dict(self) -> dict[str, Any]: ...


def encoded(event: _Event) -> Wire:
    """An engine's event as it is sent."""
    return event.event, json_text(event.to_dict())


class Running(Protocol[T]):
    """What comes in batches while something goes on: a worker's work, a run that is followed."""

    ahead: int

    async def ready(self, seconds: float) -> bool:
        """Whether there is something to be read, or will be within so many seconds."""
        ...

    def stop(self) -> None:
        """Nobody reads on."""
        ...

    async def __anext__(self) -> list[T]: ...


class GrowingResponse(StreamingResponse):
    """A response that is written while ``running`` goes on; whatever ends it stops that."""

    def __init__(
        self,
        content: AsyncIterator[bytes],
        running: Running[Any],
        *,
        headers: Mapping[str, str] | None = None,
        media_type: str = "text/html",
    ) -> None:
        # Otherwise nginx would hold the pieces back.
        fixed = {"Cache-Control": "private, no-cache", "X-Accel-Buffering": "no"}
        super().__init__(content, headers={**fixed, **(headers or {})}, media_type=media_type)
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._running.stop()  # a generator's own ``finally`` may come much later


class EventStream(GrowingResponse):
    """What ``running`` yields, as server-sent events.

    ``waiting`` comes first where a lane has to be waited for, ``problem`` last where the work
    failed, ``end`` last where it came through.

    Args:
        running: names and data of the events.
        grouped: events that follow one another share one, their data in a list under this key.
        last_id: the ``id`` of ``end``; a client that comes back with it got everything.
    """

    def __init__(
        self,
        running: Running[Wire],
        *,
        grouped: Mapping[str, str] | None = None,
        last_id: str | None = None,
    ) -> None:
        self._grouped, self._last_id = grouped or {}, last_id
        self._retry: int | None = RETRY_MILLISECONDS
        headers = {"Cache-Control": "no-store"}
        super().__init__(
            self._events(running), running, headers=headers, media_type="text/event-stream"
        )

    async def _events(self, running: Running[Wire]) -> AsyncIterator[bytes]:
        name = ""
        try:
            if running.ahead:
                yield self._event("waiting", json_text({"ahead": running.ahead}))
            while True:
                if not await running.ready(KEEPALIVE_SECONDS):
                    yield KEEPALIVE_COMMENT
                    continue
                batch = await _next(running)
                if batch is None:
                    break
                yield b"".join(self._wire(batch))
                name = batch[-1][0]
            if name != "end":
                yield self._event("end", "{}")
        except Stopped:
            return
        except Problem as problem:
            yield self._event("problem", json_text(problem.document))
        except Exception:
            log.exception("stream failed")
            failed = Problem(500, "Something went wrong in the server; its log has the details.")
            yield self._event("problem", json_text(failed.document))

    def _wire(self, batch: list[Wire]) -> Iterator[bytes]:
        for name, group in groupby(batch, key=lambda event: event[0]):
            events = [event[1:] for event in group]
            if name in self._grouped:
                texts = ",".join(event[0] for event in events)
                events = [(f'{{"{self._grouped[name]}":[{texts}]}}',)]
            yield from (self._event(name, *event) for event in events)

    def _event(self, name: str, data: str, last_id: str | None = None) -> bytes:
        retry, self._retry = self._retry, None  # told once, with the first
        last_id = self._last_id if name == "end" else last_id
        return format_sse_event(event=name or None, data_str=data, id=last_id, retry=retry)


async def _next(running: Running[Wire]) -> list[Wire] | None:
    try:
        return await running.__anext__()
    except StopAsyncIteration:
        return None
