"""Why a network fails, as JSON: the content of the pages under ``/why``."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.api.parameters import Configured, FromQuery
from layerscope.app.api.responses import answered, bodiless, described_json, problems
from layerscope.app.caching import cached, etag, unchanged
from layerscope.app.encoding import json_bytes
from layerscope.app.errors import refused
from layerscope.app.forms import query_of
from layerscope.app.results import is_quick
from layerscope.app.why import rules_table
from layerscope.engine.analyses import ANALYSES, Analysis, AnalysisUndefined
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.experiment.specification import Experiment

__all__ = ["make_router"]

fixed = APIRouter(default_response_class=Response)


def make_router() -> APIRouter:
    """A route for every analysis that is registered now, and the diagnosis' own."""
    router = APIRouter(prefix="/why", tags=["why"], default_response_class=Response)
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
        responses={200: described_json(analysis.help), **problems(304, 422, 503)},
    )
    async def get(request: Request, experiment: FromQuery, settings: Configured) -> Response:
        needed = settings.limits.check(analysis.cost(experiment))
        tag = etag("why", analysis.name, experiment.to_query())
        try:
            work = partial(_analysed, analysis.name, experiment)
            return await answered(request, tag, work, quick=is_quick(needed.flops))
        except AnalysisUndefined as error:
            raise refused(error.field, str(error)) from None


@fixed.get(
    "/diagnosis",
    name="why_diagnosis_json",
    summary="The rules of the diagnosis, and how well they do",
    responses={
        200: described_json(
            "Every rule with its condition, its reason and its source; `evaluation` counts hits, "
            "misses and false alarms over a corpus of networks with known verdicts.",
            {"rules": [{"name": "nonfinite"}], "evaluation": {"recall": 0.97}},
        ),
        **problems(304),
    },
)
async def diagnosis(request: Request) -> Response:
    """Thresholds are stated by the code that applies them."""
    tag = etag("why", "diagnosis")
    if known := unchanged(request, tag):
        return known
    headers = cached(request, tag)
    if request.state.head:
        return bodiless("application/json", headers)
    return Response(json_bytes(rules_table()), media_type="application/json", headers=headers)


def _analysed(name: str, experiment: Experiment, should_stop: ShouldStop) -> bytes:
    return json_bytes(ANALYSES[name].run(experiment, should_stop=should_stop))
