"""What is on its way to clients: large answers are handed over in pieces, counted, and bounded.

An answer is in memory until its client has read it, and a client may read slowly or not at all
(``layerscope.app.connections`` ends that). Without a bound, a few of them hold all memory.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from layerscope.app.errors import Problem

__all__ = ["Sending", "SendingLimit"]

PIECE_BYTES = 1 << 16
"""As much as the server below keeps for a connection: it takes the next when this one is read."""
LARGE_BYTES = 1 << 20
"""Answers from this size on are counted; with ``max_connections`` the others are bounded too."""
RETRY_SECONDS = 5


class Sending:
    """How many bytes of large answers this process still has to hand over; ``app.state.sending``.

    Args:
        most_bytes: the bound. One answer may exceed it when it is the only one.

    >>> sending = Sending(100)
    >>> sending.add(150), sending.add(1)
    (True, False)
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0

    def add(self, count: int) -> bool:
        """Count ``count`` more bytes, unless that goes beyond the bound; whether it was done."""
        if self.bytes and self.bytes + count > self.most_bytes:
            return False
        self.bytes += count
        return True

    def take(self, count: int) -> None:
        """These bytes were handed over, or never will be."""
        self.bytes -= count


class SendingLimit:
    """Counts large answers while they are sent, and answers 503 where one would be too much."""

    def __init__(self, app: ASGIApp, sending: Sending) -> None:
        self.app = app
        self.sending = sending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "HEAD":
            await self.app(scope, receive, send)
            return
        answer = _Answer(self.sending, send)
        try:
            await self.app(scope, receive, answer.send)
            if answer.refused:
                await _too_much(self.sending).response()(scope, receive, send)
        finally:
            self.sending.take(answer.counted)


class _Answer:
    """One answer on its way."""

    def __init__(self, sending: Sending, send: Send) -> None:
        self.sending = sending
        self.forward = send
        self.counted = 0
        self.refused = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            size = _size(message)
            self.refused = size >= LARGE_BYTES and not self.sending.add(size)
            self.counted = 0 if self.refused or size < LARGE_BYTES else size
        if self.refused:
            return
        body = message.get("body", b"")
        if len(body) <= PIECE_BYTES:
            await self.forward(message)
            self._handed_over(len(body))
            return
        for piece, last in _pieces(body):
            more = not last or message.get("more_body", False)
            await self.forward({**message, "body": piece, "more_body": more})
            self._handed_over(len(piece))

    def _handed_over(self, count: int) -> None:
        count = min(count, self.counted)
        self.counted -= count
        self.sending.take(count)


def _size(start: Message) -> int:
    told = Headers(raw=start["headers"]).get("content-length", "0")
    return int(told) if told.isdecimal() else 0


def _pieces(body: bytes) -> Iterable[tuple[bytes, bool]]:
    view = memoryview(body)
    for begin in range(0, len(body), PIECE_BYTES):
        yield bytes(view[begin : begin + PIECE_BYTES]), begin + PIECE_BYTES >= len(body)


def _too_much(sending: Sending) -> Problem:
    return Problem(
        503,
        f"{sending.bytes} bytes of other answers are on their way to clients, and this server "
        f"holds at most {sending.most_bytes}.",
        kind="busy",
        title="Too much to be sent at once",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )
