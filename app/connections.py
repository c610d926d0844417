"""What a connection may cost: bytes of headers, and the time each of its parts may take.

Uvicorn's parser puts no bound on a header and waits for ever for the rest of a request, and for a
client that does not read. This protocol adds the bounds; every refusal is a problem document where
the client can still get one. It reads uvicorn's internals: the tests hold what it relies on.
"""

from __future__ import annotations

import asyncio
import enum
import sys
from functools import partial
from typing import Any

import structlog
from starlette.types import ASGIApp
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from layerscope.app.errors import Problem
from layerscope.app.security import security_headers
from layerscope.app.settings import Settings

__all__ = ["Awaited", "Connection", "protocol"]

MOST_HEADERS = 100
"""Fields of one request. Each is looked at several times; browsers send about twenty."""
MOST_PIPELINED = 16
"""Requests sent ahead of their answers; no browser sends any."""
LINGER_SECONDS = 2.0
"""How long the rest of a body is thrown away, so that its sender reads why it was refused."""
MOST_DISCARDED = 1 << 20
"""Bytes of that rest; who sends more isn't reading."""
LOOKS = 8
"""How often in the shortest limit a connection looks at the clock."""

log = structlog.stdlib.get_logger("layerscope.connections")


def protocol(settings: Settings) -> partial[Connection]:
    """The protocol class for ``uvicorn.Config(http=…)``, with the bounds of ``settings``."""
    return partial(Connection, settings=settings)


class Awaited(enum.Enum):
    """What the client has to send next."""

    NOTHING = "nothing"
    HEAD = "the request's header"
    BODY = "the request's body"
    REST = "the rest of a body that nobody reads"


class Connection(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1 connection within bounds of bytes and time.

    - a request's header: ``max_header_bytes`` and ``MOST_HEADERS`` (431), ``header_seconds`` from
      the connection or the request's first byte (408, or closed if nothing came);
    - its body: ``body_seconds`` in all (408); trailers count as header;
    - between requests: ``idle_seconds``, which is uvicorn's own;
    - an answer: cut off when the client took no byte of what waits for ``write_seconds``;
    - ``max_connections`` at once (503).
    """

    def __init__(self, *arguments: Any, settings: Settings, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.timeout_keep_alive = settings.idle_seconds  # type: ignore[assignment]
        self._settings = settings
        self._seconds = {
            Awaited.HEAD: settings.header_seconds,
            Awaited.BODY: settings.body_seconds,
            Awaited.REST: LINGER_SECONDS,
        }
        self._pace = min(1.0, min(*self._seconds.values(), settings.write_seconds) / LOOKS)
        self._awaited = Awaited.HEAD
        self._since = 0.0
        self._unread = 0  # bytes of which the parser has made no whole header or piece of a body
        self._discarded = 0
        self._refused = False
        self._backlog = 0
        self._taken = 0.0  # when the client last took bytes
        self._clock: asyncio.TimerHandle | None = None
        self._due = 0.0

    # What asyncio tells

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await(Awaited.HEAD)
        self._taken = self._since
        self._wind()
        if len(self.connections) > self._settings.max_connections:
            most = self._settings.max_connections
            self._refuse(
                503, f"This server takes {most} connections at once.", {"Retry-After": "1"}
            )
        if len(self.connections) > 2 * self._settings.max_connections:
            self._cut("too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._clock is not None:
            self._clock.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._awaited is Awaited.NOTHING:
            self._await(Awaited.HEAD)
        if self._awaited is Awaited.REST:
            self._discarded += len(data)
            if self._discarded > MOST_DISCARDED:
                self._cut("sends on what was refused")
        most = self._settings.max_header_bytes
        while data and not self._refused and not self.transport.is_closing():
            room = most + 1 - self._unread
            piece, data = data[:room], data[room:]
            self._unread += len(piece)
            super().data_received(piece)
            if self._unread > most:
                self._refuse(431, f"The header has more than {most} bytes.")
            elif len(self.pipeline) > MOST_PIPELINED:
                self._cut("too many requests ahead of their answers")

    def resume_writing(self) -> None:
        self._taken = self.loop.time()
        super().resume_writing()

    # What the parser tells

    def on_message_begin(self) -> None:
        if self._awaited is not Awaited.HEAD:  # the next request begins behind the last
            self._await(Awaited.HEAD)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if len(self.headers) > MOST_HEADERS:
            self._refuse(431, f"The header has more than {MOST_HEADERS} fields.")
            return
        self._await(Awaited.BODY)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._await(Awaited.NOTHING)
        if not self._refused:
            super().on_message_complete()

    # What uvicorn tells

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._awaited is Awaited.BODY and not self.transport.is_closing():
            self._await(Awaited.REST)

    def shutdown(self) -> None:
        if stop := self.app_state.get("stop"):
            stop()  # computations end first, so that this waits for no connection of theirs
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: a request for another protocol is answered as if it had not asked."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        if cycle.scope["http_version"] == "1.0":
            cycle.__class__ = _Unchunked  # uvicorn makes them itself
        if not self._refused:
            super()._start_asgi_task(cycle, app)  # type: ignore[arg-type]

    # The bounds

    def _await(self, what: Awaited) -> None:
        self._awaited = what
        self._since = self.loop.time()
        self._unread = 0

    def _look(self) -> None:
        """Ends what takes too long; called several times in each limit while connected."""
        now = self.loop.time()
        # While this process had no time to listen, no client was late.
        self._since += now - self._due
        self._taken += now - self._due
        self._look_at_writing(now)
        self._look_at_reading(now)
        self._wind()

    def _wind(self) -> None:
        self._due = self.loop.time() + self._pace
        self._clock = self.loop.call_at(self._due, self._look)

    def _look_at_writing(self, now: float) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting < self._backlog or not waiting:
            self._taken = now
        self._backlog = waiting
        if now - self._taken > self._settings.write_seconds:
            self._cut(f"{waiting} bytes not read in {self._settings.write_seconds:g} s")

    def _look_at_reading(self, now: float) -> None:
        if self.transport.is_closing():
            return
        if self.flow.read_paused:  # the request's rest waits for us
            self._since = now
        late = now - self._since > self._seconds.get(self._awaited, float("inf"))
        if not late:
            return
        if self._awaited is Awaited.REST or (self._awaited is Awaited.HEAD and not self._unread):
            self.transport.close()
        elif self._awaited is Awaited.HEAD and self._answering:
            return  # a request ahead of its answer: looked at again when that is complete
        elif not self._answering or not self.cycle.response_started:
            seconds = self._seconds[self._awaited]
            self._refuse(408, f"{self._awaited.value.capitalize()} took longer than {seconds:g} s.")
        else:
            self._cut("a body that does not end beside its answer")

    @property
    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _refuse(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        """Answer with a problem if no other answer is under way, and take no more requests."""
        if self._refused:
            return
        self._refused = True
        self._log(status, detail)
        if self._answering:
            self.cycle.disconnected = True  # whoever works for this request is told to stop
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.abort()
                return
        self.transport.write(_wire(Problem(status, detail, headers=headers)))
        # Closing now would reset the connection while the client still writes, and lose the answer.
        self.transport.write_eof()
        self._await(Awaited.REST)

    def _cut(self, reason: str) -> None:
        self._refused = True
        self._log(0, reason)
        self.transport.abort()

    def _log(self, status: int, detail: str) -> None:
        client = self.client[0] if self.client else None
        log.info("connection refused", status=status, detail=detail, client=client)


class _Unchunked(RequestResponseCycle):
    """An answer to HTTP/1.0, which knows no chunks: where its length is not known beforehand, it
    ends with the connection. Uvicorn would send chunks; old proxies and nginx by default ask so."""

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            if b"content-length" not in names:
                self.chunked_encoding, self.keep_alive = False, False
                self.expected_content_length = sys.maxsize
        elif (
            message["type"] == "http.response.body"
            and not message.get("more_body")
            and self.expected_content_length > sys.maxsize // 2
        ):
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


def _wire(problem: Problem) -> bytes:
    response = problem.response()
    response.headers.update({**security_headers(nonce=""), "Connection": "close"})
    lines = [b"%s: %s\r\n" % pair for pair in response.raw_headers]
    return b"".join((STATUS_LINE[problem.status], *lines, b"\r\n", bytes(response.body)))
