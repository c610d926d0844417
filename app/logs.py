"""Structured logs: one line a request, and whatever went wrong with the request's id."""

from __future__ import annotations

import logging
import re
import sys
import time
import uuid
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from layerscope.app.errors import Problem
from layerscope.app.log_lines import Lines

__all__ = ["AccessLog", "configure", "in_background", "plain"]

LONGEST_FIELD = 300
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
log = structlog.stdlib.get_logger("layerscope")
_lines = Lines(sys.stderr)
Event = MutableMapping[str, Any]


def configure(level: str, log_format: str) -> None:
    """Send every log line of this process, uvicorn's too, to standard error in one format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor
    if log_format == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The default prints every local variable: tensors take seconds, and secrets leak.
            exception_formatter=structlog.dev.plain_traceback,
        )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    global _lines
    _lines = Lines(sys.stderr)
    handler = logging.StreamHandler(_lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_uvicorn_colours,
                renderer,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def in_background() -> AbstractContextManager[None]:
    """From here to the end, no line of the log waits for who reads it; after `configure`."""
    return _lines.in_background()


def _without_uvicorn_colours(_: Any, __: str, event: Event) -> Event:
    event.pop("color_message", None)
    return event


def plain(text: str) -> str:
    r"""``text`` on one line and of bounded length, as a log may hold what a client sent.

    >>> plain("a\x1b[2J")
    'a?[2J'
    """
    if len(text) > LONGEST_FIELD:
        text = f"{text[:LONGEST_FIELD]}… ({len(text)} characters)"
    return "".join(each if each.isprintable() else "?" for each in text)


class AccessLog:
    """Logs each request and answers 500, without a traceback, for what nothing else caught.

    Every response carries ``X-Request-ID``: the one that the client sent, if it is a plain word,
    or a new one; it stands on every line logged meanwhile.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        # As it came, percent-encoded: a decoded one could hold line ends and terminal codes.
        path = plain(scope.get("raw_path", b"").decode("ascii", "replace") or scope["path"])
        started = time.perf_counter()
        sent = {"status": 0, "bytes": 0}

        async def send_logged(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent["status"] = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            elif message["type"] == "http.response.body":
                sent["bytes"] += len(message.get("body", b""))
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_logged)
            except Exception:
                log.exception("request failed", method=scope["method"], path=path)
                if sent["status"]:  # too late for another answer: the connection is cut
                    raise
                why = "Something went wrong in the server; its log has the details under this id."
                problem = Problem(500, why, request_id=request_id)
                await problem.response()(scope, receive, send_logged)
            finally:
                client = scope.get("client")
                log.info(
                    "request",
                    method=scope["method"],
                    path=path,
                    status=sent["status"],
                    duration_ms=round(1000 * (time.perf_counter() - started), 1),
                    bytes=sent["bytes"],
                    client=plain(client[0]) if client else None,
                )
