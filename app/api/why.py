"""Why a network fails, as JSON: the content of the pages under ``/why``."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.api.parameters import (
    Computing,
    Configured,
    FromQuery,
)
from layerscope.app.api.responses import bodiless, described, problems
from layerscope.app.caching import cached, etag, unchanged
from layerscope.app.compute import while_connected
from layerscope.app.errors import invalid
from layerscope.app.forms import query_of
from layerscope.app.why import rules_table
from layerscope.engine.analyses import ANALYSES, Analysis, AnalysisUndefined
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.experiment.specification import Experiment

__all__ = ["make_router"]

fixed = APIRouter()


def make_router() -> APIRouter:
    """A route for every analysis that is registered now, and the diagnosis' own."""
    router = APIRouter(prefix="/why", tags=["why"])
    for analysis in ANALYSES.values():
        _add(router, analysis)
    router.include_router(fixed)
    return router


def _add(router: APIRouter, analysis: Analysis) -> None:
    @router.get(
        f"/{analysis.name}",
        name=f"why_{analysis.name}_json",
        operation_id=f"why_{analysis.name}",
        summary=analysis.title,
        description=analysis.help,
        openapi_extra=query_of(Experiment),
        responses={
            200: described(analysis.help, "application/json", {"type": "object"}),
            304: {"description": "Not Modified"},
            **problems(422, 503),
        },
        response_class=Response,
    )
    async def get(
        request: Request, experiment: FromQuery, settings: Configured, compute: Computing
    ) -> Response:
        settings.limits.check(analysis.cost(experiment))
        tag = etag("why", analysis.name, experiment.to_query())
        if known := unchanged(request.headers.get("if-none-match"), tag, settings.cache_seconds):
            return known
        headers = cached(tag, settings.cache_seconds)
        if request.state.head:
            return bodiless("application/json", headers)
        try:
            body = await while_connected(request, compute.run(_work(analysis, experiment)))
        except AnalysisUndefined as error:
            raise invalid([{"field": error.field, "message": str(error)}]) from None
        return Response(body, media_type="application/json", headers=headers)


def _work(analysis: Analysis, experiment: Experiment) -> Callable[[ShouldStop], bytes]:
    return lambda stop: orjson.dumps(analysis.run(experiment, should_stop=stop).to_dict())


@fixed.get(
    "/diagnosis",
    name="why_diagnosis_json",
    summary="The rules of the diagnosis, and how well they do",
    responses={
        200: described(
            "Every rule with its condition, its reason and its source; `evaluation` counts hits, "
            "misses and false alarms over a corpus of networks with known verdicts.",
            "application/json",
            {"type": "object"},
            {"rules": [{"name": "nonfinite"}], "evaluation": {"recall": 0.97}},
        )
    },
    response_class=Response,
)
async def diagnosis(request: Request, settings: Configured, compute: Computing) -> Response:
    """Thresholds are stated by the code that applies them."""
    headers = cached(etag("why", "diagnosis"), settings.cache_seconds)
    if request.state.head:
        return bodiless("application/json", headers)
    work = compute.run(lambda _: orjson.dumps(rules_table()))
    body = await while_connected(request, work)
    return Response(body, media_type="application/json", headers=headers)
