"""One JSON route for every question: the engine's record as it is, or a problem by field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.api.parameters import Computing, Configured
from layerscope.app.api.responses import bodiless, described, problems
from layerscope.app.caching import cached, etag, unchanged
from layerscope.app.compute import while_connected
from layerscope.app.errors import invalid
from layerscope.app.foundations import Field, Question, Refused

__all__ = ["openapi_fields", "question_router"]


def question_router(questions: Sequence[Question]) -> APIRouter:
    """``GET /<name>`` for every one of ``questions``."""
    router = APIRouter()
    for question in questions:
        _add(router, question)
    return router


def _add(router: APIRouter, question: Question) -> None:
    @router.get(
        f"/{question.name}",
        name=f"foundations_{question.name}_json",
        operation_id=f"foundations_{question.name}",
        summary=question.summary,
        description=question.help,
        openapi_extra={"parameters": openapi_fields(question.fields)},
        responses={
            200: described(
                question.help, "application/json", {"type": "object"}, dict(question.example)
            ),
            304: {"description": "Not Modified"},
            **problems(422, 503),
        },
        response_class=Response,
    )
    async def get(request: Request, settings: Configured, compute: Computing) -> Response:
        reading = question.read(request.scope["query_string"])
        tag = etag("foundations", question.name, sorted(reading.typed.items()))
        known = unchanged(request.headers.get("if-none-match"), tag, settings.cache_seconds)
        if known and not reading.errors:
            return known
        headers = cached(tag, settings.cache_seconds)
        try:
            work = compute.run(lambda stop: orjson.dumps(question.ask(reading, stop).to_dict()))
            body = await while_connected(request, work)
        except Refused as refused:
            raise invalid(refused.errors) from None
        if request.state.head:
            return bodiless("application/json", headers)
        return Response(body, media_type="application/json", headers=headers)


def openapi_fields(fields: Sequence[Field]) -> list[dict[str, Any]]:
    """Every field as OpenAPI's query parameter."""
    return [
        {
            "name": f.name,
            "in": "query",
            "required": False,
            "description": f.help,
            "schema": {"type": "string", "default": f.default, "maxLength": f.longest}
            | ({"enum": [name for name, _ in f.options]} if f.options else {}),
        }
        for f in fields
    ]
