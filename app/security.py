"""Who may ask, how much, and what a page may load: host check, body limit, security headers."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from layerscope.app.errors import Problem
from layerscope.app.settings import Settings

__all__ = [
    "PROBES",
    "BodyLimit",
    "Security",
    "content_security_policy",
    "is_framed",
    "security_headers",
]

PROBES = frozenset({"/healthz", "/livez", "/readyz"})
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
FRAMED = re.compile("/runs/[A-Za-z0-9_-]{1,64}")
HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
"""An address in brackets or a name, then perhaps a port."""


def content_security_policy(nonce: str, frame_origins: tuple[str, ...] = ()) -> str:
    """The policy of a page: nothing from another host, no inline script, no ``eval``; shown in
    frames of this server's pages alone, and of ``frame_origins``.

    Plotly colours heatmaps through ``blob:`` and ``data:`` images, and fills the one ``<style>``
    element that carries ``nonce``; its charts set ``style`` attributes.

    >>> content_security_policy("x").split("; ")[0]
    "default-src 'self'"
    """
    return "; ".join(
        (
            "default-src 'self'",
            "img-src 'self' data: blob:",
            f"style-src-elem 'self' 'nonce-{nonce}'",
            "style-src-attr 'unsafe-inline'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            " ".join(("frame-ancestors 'self'", *frame_origins)),
        )
    )


def security_headers(nonce: str, frame_origins: tuple[str, ...] = ()) -> dict[str, str]:
    """The headers of every answer; ``nonce`` as for ``content_security_policy``."""
    return {**HEADERS, "Content-Security-Policy": content_security_policy(nonce, frame_origins)}


def is_framed(scope: Scope) -> bool:
    """Whether this path is of a page that is made to be framed: a run's."""
    return FRAMED.fullmatch(scope["path"].removeprefix(scope.get("root_path", ""))) is not None


class Security:
    """Refuses foreign host names, gives each request a nonce and each response its headers.

    Templates read the nonce as ``request.state.csp_nonce``. A ``HEAD`` request is answered as its
    ``GET``, without the body; ``request.state.head`` tells a route that the body is not needed.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        head = scope["method"] == "HEAD"
        frames = self.settings.frame_origins if is_framed(scope) else ()
        scope.setdefault("state", {}).update(csp_nonce=nonce, head=head)

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # A 304 would put a new nonce on an old page.
                always = HEADERS if message["status"] == 304 else security_headers(nonce, frames)
                for name, value in always.items():
                    headers.setdefault(name, value)
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # A health probe addresses a container by whatever name it has there.
        probe = scope["path"].removeprefix(scope.get("root_path", "")) in PROBES
        if not probe and not self._trusted(scope):
            problem = Problem(
                400,
                "This server does not answer to the host name of this request; "
                "LAYERSCOPE_ALLOWED_HOSTS adds names.",
                kind="host",
                title="Unknown host",
            )
            await problem.response()(scope, receive, send_secured)
            return
        if head:
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, send_secured)

    def _trusted(self, scope: Scope) -> bool:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            return False
        parts = HOST.fullmatch(hosts[0].decode("latin-1"))
        return parts is not None and self.settings.allows_host(parts[1])


class BodyLimit:
    """Refuses bodies of more than ``most_bytes``; before reading them, where a length is told.

    Args:
        others: for paths (below the root path) that match the pattern as a whole, another limit.
    """

    def __init__(
        self, app: ASGIApp, most_bytes: int, others: Mapping[re.Pattern[str], int] | None = None
    ) -> None:
        self.app = app
        self.most_bytes = most_bytes
        self.others = others or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most_bytes = self._most(scope)
        told = Headers(scope=scope).get("content-length", "")
        if told.isascii() and told.isdigit() and int(told[:20]) > most_bytes:
            await _too_large(told, most_bytes).response()(scope, receive, send)
            return
        seen = 0
        answering = False

        async def receive_counted() -> Message:
            nonlocal seen
            while True:
                message = await receive()
                seen += len(message.get("body", b""))
                if seen <= most_bytes or message["type"] != "http.request":
                    return message
                if not answering:
                    # FastAPI passes its own exceptions on where it would call others a bad body.
                    raise HTTPException(413, _too_large("more", most_bytes).document["detail"])
                # A stream that only listens for the end of its connection: no body concerns it.

        async def send_noted(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        await self.app(scope, receive_counted, send_noted)

    def _most(self, scope: Scope) -> int:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return next((n for p, n in self.others.items() if p.fullmatch(path)), self.most_bytes)


def _too_large(told: str, most_bytes: int) -> Problem:
    return Problem(413, f"The body has {told[:20]} bytes; expected at most {most_bytes}.")
