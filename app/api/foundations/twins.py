"""One JSON route for every step: the engine's record as it is, or a problem by field."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.api.parameters import Computing, Configured
from layerscope.app.api.responses import bodiless, described, problems
from layerscope.app.caching import cached, etag, unchanged
from layerscope.app.compute import while_connected
from layerscope.app.forms import Form, query_of
from layerscope.app.foundations import Step

__all__ = ["add_twin"]


def add_twin(router: APIRouter, step: Step) -> None:
    """``GET /<name>`` with the step's answer as JSON."""

    @router.get(
        f"/{step.name}",
        name=step.twin,
        operation_id=step.route,
        summary=step.summary,
        description=step.help,
        openapi_extra=query_of(step.form),
        responses={
            200: described(step.help, "application/json", {"type": "object"}, dict(step.example)),
            304: {"description": "Not Modified"},
            **problems(422, 503),
        },
        response_class=Response,
    )
    async def get(request: Request, settings: Configured, compute: Computing) -> Response:
        form = Form.read(step.form, request.query_params.multi_items())
        form.valid()
        tag = etag("foundations", step.name, sorted(form.typed.items()))
        known = unchanged(request.headers.get("if-none-match"), tag, settings.cache_seconds)
        if known and not step.alone:
            return known
        headers = cached(tag, settings.cache_seconds)
        if step.alone:  # what is measured is never twice the same
            headers = {"Cache-Control": "no-store"}
            if request.state.head:
                return bodiless("application/json", headers)
            compute.lane.admit()
        lane = compute.lane if step.alone else None
        work = compute.run(lambda stop: orjson.dumps(step.ask(form, stop).to_dict()), lane)
        body = await while_connected(request, work)
        if request.state.head:
            return bodiless("application/json", headers)
        return Response(body, media_type="application/json", headers=headers)
