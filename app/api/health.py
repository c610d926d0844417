"""Whether the server can do its work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.api.parameters import Computing
from layerscope.app.api.responses import described, problems
from layerscope.app.caching import version
from layerscope.app.errors import Problem

__all__ = ["Readiness", "router"]

router = APIRouter(tags=["health"])


@dataclass
class Readiness:
    """How far the start has come; ``app.state.readiness``."""

    state: Literal["starting", "ready", "failed"] = "starting"


@router.get(
    "/healthz",
    summary="200 when able to serve",
    responses={
        200: described(
            "Ready",
            "application/json",
            {"type": "object"},
            {"status": "ok", "version": "0.1.0", "computing": 0, "waiting": 0},
        ),
        **problems(503),
    },
    response_class=Response,
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
    body = {
        "status": "ok",
        "version": version(),
        "computing": compute.active,
        "waiting": compute.waiting,
    }
    headers = {"Cache-Control": "no-store"}
    return Response(orjson.dumps(body), media_type="application/json", headers=headers)
