"""What routes answer with, and how OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from starlette.responses import Response

from layerscope.app.caching import cached, unchanged
from layerscope.app.compute import Work, while_connected
from layerscope.app.encoding import json_bytes
from layerscope.app.errors import KINDS, Problem, refused

__all__ = [
    "NO_STORE", "OTHER_PROBLEMS", "answered", "bodiless", "described", "described_events",
    "described_json", "fresh", "problems",
]  # fmt: skip

NO_STORE = {"Cache-Control": "no-store"}
EXAMPLES = {
    problem.status: problem.document
    for problem in (
        Problem(404, "layer 200: this network's layers are 0 to 100", kind="no-such-layer",
                title="No such layer"),
        Problem(409, "Run 1a2 has entries up to 7; expected the batch to begin with the next, or "
                "before it.", kind="gap", title="Entries are missing", received=7),
        Problem(413, "The request's body is larger than this server takes.",
                title="Content Too Large"),
        Problem(415, "The body is text/plain; expected application/json."),
        refused("depth", "expected a whole number from 1 to 1000", "5000"),
        Problem(503, "No place became free within 30 s.", kind="busy",
                title="Too many computations at once"),
    )
}  # fmt: skip

RETRY = {
    "Retry-After": {
        "description": "Seconds until it is worth trying again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457. Types: " + ", ".join(f"`/docs#problem-{kind}`" for kind in KINDS),
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message", "value"],
                "properties": {
                    "field": {"type": "string"},
                    "message": {"type": "string"},
                    "value": {},
                },
            },
        },
    },
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of 304 and of these errors, each with an example."""
    return {status: _problem(status) for status in statuses}


def _problem(status: int) -> dict[str, Any]:
    if status == 304:
        return {"description": "Not Modified"}
    content = {"schema": SCHEMA, "example": EXAMPLES[status]}
    return {
        "description": EXAMPLES[status]["title"],
        **({"headers": RETRY} if status == 503 else {}),
        "content": {"application/problem+json": content},
    }


OTHER_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Any other problem, under every address: 400 for a host name that is not "
        "this server's, 401 without its token, 403 asked by another site's page, 408 sent too "
        "slowly, 431 more than a header may have.",
        "content": {"application/problem+json": {"schema": SCHEMA}},
    }
}
"""For ``responses=`` of a router: what is refused before a route is asked."""


def described(
    description: str, media_type: str, schema: Mapping[str, Any], example: object = None
) -> dict[str, Any]:
    """OpenAPI's description of one successful answer."""
    content: dict[str, Any] = {"schema": dict(schema)}
    if example is not None:
        content["example"] = example
    return {"description": description, "content": {media_type: content}}


def described_events(
    description: str, names: Sequence[str], example: object = None
) -> dict[str, Any]:
    """The same of a stream of server-sent events, each by itself (OpenAPI 3.2's `itemSchema`).

    Args:
        names: of the events; ``waiting``, ``problem`` and ``end`` are every stream's.
    """
    item = {
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "event": {"type": "string", "enum": ["waiting", *names, "problem", "end"]},
            "data": {"type": "string", "contentMediaType": "application/json"},
            "id": {"type": "string"},
            "retry": {"type": "integer", "minimum": 0},
        },
    }
    content = {"itemSchema": item, **({} if example is None else {"example": example})}
    return {"description": description, "content": {"text/event-stream": content}}


def described_json(description: str, example: object = None, *required: str) -> dict[str, Any]:
    """The same of a JSON object, with the names it has at least."""
    schema = {"type": "object", **({"required": list(required)} if required else {})}
    return described(description, "application/json", schema, example)


def fresh(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:  # fmt: skip
    """``value`` as JSON that nobody keeps: the next time it may be another."""
    told = {**NO_STORE, **(headers or {})}
    return Response(json_bytes(value), status, told, "application/json")


async def answered(
    request: Request, tag: str, work: Work[bytes], *, quick: bool = False
) -> Response:
    """The JSON that ``work(should_stop)`` makes in a worker.

    A client that has it already, by its ``tag``, is told so; a ``HEAD`` has nothing computed.
    """
    if known := unchanged(request, tag):
        return known
    headers = cached(request, tag)
    if request.state.head:
        return bodiless("application/json", headers)
    body = await while_connected(request, request.app.state.compute.run(work, quick=quick))
    return Response(body, media_type="application/json", headers=headers)


def bodiless(media_type: str, headers: Mapping[str, str]) -> Response:
    """The answer to a ``HEAD`` whose body would have to be computed to know its length."""
    response = Response(media_type=media_type, headers=headers)
    del response.headers["content-length"]
    return response
