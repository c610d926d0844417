"""What routes answer with, and how OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from layerscope.app.errors import KINDS

__all__ = ["bodiless", "described", "problems"]

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
    """OpenAPI's description of these errors, each with an example."""
    return {
        status: {
            "description": EXAMPLES[status]["title"],
            **({"headers": RETRY} if status == 503 else {}),
            "content": {
                "application/problem+json": {"schema": SCHEMA, "example": EXAMPLES[status]}
            },
        }
        for status in statuses
    }


def described(
    description: str, media_type: str, schema: Mapping[str, Any], example: object = None
) -> dict[str, Any]:
    """OpenAPI's description of one successful answer."""
    content: dict[str, Any] = {"schema": dict(schema)}
    if example is not None:
        content["example"] = example
    return {"description": description, "content": {media_type: content}}


def bodiless(media_type: str, headers: Mapping[str, str]) -> Response:
    """The answer to a ``HEAD`` whose body would have to be computed to know its length."""
    response = Response(media_type=media_type, headers=headers)
    del response.headers["content-length"]
    return response
