"""What routes answer with, and how OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from fastapi import Request
from starlette.responses import Response

from layerscope.app.caching import cached, unchanged
from layerscope.app.compute import while_connected
from layerscope.app.errors import KINDS
from layerscope.engine.basis.cancellation import ShouldStop

__all__ = ["answered", "bodiless", "described", "described_json", "json_bytes", "problems"]

EXAMPLES: dict[int, dict[str, Any]] = {
    404: {
        "type": "/docs#problem-no-such-layer",
        "title": "No such layer",
        "status": 404,
        "detail": "layer 200: this network's layers are 0 to 100",
    },
    413: {
        "type": "about:blank",
        "title": "Content Too Large",
        "status": 413,
        "detail": "The request's body is larger than this server takes.",
    },
    415: {
        "type": "about:blank",
        "title": "Unsupported Media Type",
        "status": 415,
        "detail": "The body is text/plain; expected application/json.",
    },
    422: {
        "type": "/docs#problem-invalid",
        "title": "Invalid parameters",
        "status": 422,
        "detail": "depth: expected a whole number from 1 to 1000",
        "errors": [
            {
                "field": "depth",
                "message": "expected a whole number from 1 to 1000",
                "value": "5000",
            }
        ],
    },
    503: {
        "type": "/docs#problem-busy",
        "title": "Too many computations at once",
        "status": 503,
        "detail": "No place became free within 30 s.",
    },
}

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


def described(
    description: str, media_type: str, schema: Mapping[str, Any], example: object = None
) -> dict[str, Any]:
    """OpenAPI's description of one successful answer."""
    content: dict[str, Any] = {"schema": dict(schema)}
    if example is not None:
        content["example"] = example
    return {"description": description, "content": {media_type: content}}


def described_json(description: str, example: object = None, *required: str) -> dict[str, Any]:
    """The same of a JSON object, with the names it has at least."""
    schema = {"type": "object", **({"required": list(required)} if required else {})}
    return described(description, "application/json", schema, example)


def json_bytes(value: object) -> bytes:
    """``value`` as JSON; whatever is none of JSON's types by its ``to_dict``."""
    return orjson.dumps(value, lambda record: record.to_dict(), orjson.OPT_PASSTHROUGH_DATACLASS)


async def answered(request: Request, tag: str, work: Callable[[ShouldStop], bytes]) -> Response:
    """The JSON that ``work(should_stop)`` makes in a thread of its own.

    A client that has it already, by its ``tag``, is told so; a ``HEAD`` has nothing computed.
    """
    if known := unchanged(request, tag):
        return known
    headers = cached(request, tag)
    if request.state.head:
        return bodiless("application/json", headers)
    body = await while_connected(request, request.app.state.compute.run(work))
    return Response(body, media_type="application/json", headers=headers)


def bodiless(media_type: str, headers: Mapping[str, str]) -> Response:
    """The answer to a ``HEAD`` whose body would have to be computed to know its length."""
    response = Response(media_type=media_type, headers=headers)
    del response.headers["content-length"]
    return response
