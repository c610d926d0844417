"""What this process does, in Prometheus's format. Labels are the routes' templates, so bounded."""

from __future__ import annotations

import time
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from layerscope.app.sending import Sending

__all__ = ["Computing", "Measured", "Metrics"]

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Computing(Protocol):
    """What is told of the computations."""

    @property
    def active(self) -> int: ...

    @property
    def waiting(self) -> int: ...


class Metrics:
    """The figures of one application; ``app.state.metrics``."""

    def __init__(self, computing: Computing, sending: Sending) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "layerscope_requests",
            "Requests answered, by route and status",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "layerscope_request_seconds",
            "Time to the last byte of an answer, streams too",
            ("route",),
            registry=self.registry,
        )
        self.streams = Gauge(
            "layerscope_streams_open", "Event streams being sent", registry=self.registry
        )
        for name, meaning, read in (
            ("computations_running", "Computations running", lambda: computing.active),
            ("computations_waiting", "Requests waiting for a place", lambda: computing.waiting),
            ("sending_bytes", "Bytes of large answers still to be sent", lambda: sending.bytes),
        ):
            Gauge(f"layerscope_{name}", meaning, registry=self.registry).set_function(read)
        ProcessCollector(registry=self.registry)

    def response(self) -> Response:
        """All of them."""
        return Response(
            generate_latest(self.registry),
            headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"},
        )


class Measured:
    """Counts and times every answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status, streams = 499, 0  # what nobody answered, as nobody waited

        async def send_measured(message: Message) -> None:
            nonlocal status, streams
            if message["type"] == "http.response.start":
                status = message["status"]
                kind = Headers(raw=message["headers"]).get("content-type", "")
                streams = int(kind.startswith("text/event-stream"))
                self.metrics.streams.inc(streams)
            await send(message)

        try:
            await self.app(scope, receive, send_measured)
        finally:
            self.metrics.streams.dec(streams)
            route = _template(scope)
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.metrics.requests.labels(method, route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - started)


def _template(scope: Scope) -> str:
    """``/static/{path:path}`` for all static files; ``none`` where no route was found."""
    context = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    path = getattr(context, "path", None)
    return path if isinstance(path, str) else "none"
