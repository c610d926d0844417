"""Whether the server can do its work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.api.parameters import Computing
from layerscope.app.api.responses import described, described_json, problems
from layerscope.app.caching import version
from layerscope.app.errors import Problem

__all__ = ["Readiness", "router"]

router = APIRouter(tags=["health"], default_response_class=Response)


@dataclass
class Readiness:
    """How far the start has come; ``app.state.readiness``."""

    state: Literal["starting", "ready", "failed"] = "starting"


@router.get(
    "/livez",
    summary="200 while the process runs",
    responses={200: described("Alive", "text/plain", {"type": "string"}, "ok")},
)
async def livez() -> Response:
    """For who restarts what no longer answers: says nothing of whether it is ready."""
    return Response("ok", media_type="text/plain", headers={"Cache-Control": "no-store"})


@router.get(
    "/metrics",
    summary="What this process does, for Prometheus",
    responses={200: described("Prometheus's text format", "text/plain", {"type": "string"})},
)
async def metrics(request: Request) -> Response:
    """Requests, computations, streams and memory; of the process that answers, where several do."""
    answer: Response = request.app.state.metrics.response()
    return answer


@router.get("/readyz", include_in_schema=False)
@router.get(
    "/healthz",
    summary="200 when able to serve, as `/readyz`",
    responses={
        200: described_json(
            "Ready", {"status": "ok", "version": "0.1.0", "computing": 0, "waiting": 0}
        ),
        **problems(503),
    },
)
async def healthz(request: Request, compute: Computing) -> Response:
    """503 until everything was compiled and has run once, or when that failed."""
    readiness: Readiness = request.app.state.readiness
    if readiness.state == "starting":
        raise Problem(
            503,
            "The server is warming up.",
            kind="starting",
            title="Not ready yet",
            headers={"Retry-After": "1"},
        )
    if readiness.state == "failed":
        raise Problem(503, "Warming up failed; the server's log says why.", title="Not able")
    body = {"status": "ok", "version": version(),
            "computing": compute.active, "waiting": compute.waiting}  # fmt: skip
    headers = {"Cache-Control": "no-store"}
    return Response(orjson.dumps(body), media_type="application/json", headers=headers)
