"""Why a network fails, as JSON: the content of the pages under ``/why``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

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
from layerscope.app.why import PAGES, rules_table
from layerscope.engine.analyses import ANALYSES, Analysis, AnalysisUndefined
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.experiment.specification import Experiment

__all__ = ["router"]

router = APIRouter(prefix="/why", tags=["why"])


@dataclass(frozen=True, slots=True)
class _Twin:
    """How OpenAPI describes the JSON of a page."""

    summary: str
    help: str
    example: Mapping[str, Any]


TWINS = {
    "phase": _Twin(
        "The phase diagram around an experiment",
        "The plane of σw and σb of its activation: χ1, fixed points and trainable depth by row, "
        "the edge of chaos as a computed curve, and the experiment as a point of it.",
        {"point": {"sigma_w": 1.414, "sigma_b": 0.0, "phase": "critical"}, "critical": []},
    ),
    "spectrum": _Twin(
        "Singular values and correlations through depth",
        "The end-to-end Jacobian's singular values with Gaussian and with orthogonal weights of "
        "the same variance, exact or estimated as `exact` says, and the correlation of pairs "
        "of inputs beside the c-map's prediction.",
        {"exact": True, "depths": [6, 12], "correlation": {"paths": []}},
    ),
    "precision": _Twin(
        "What every number format would lose",
        "From a float64 run's histograms: each tensor's share lost to overflow and underflow, and "
        "left subnormal, in five formats; the loss scales that save the gradients; and real runs "
        "in the formats that the processor can run.",
        {"reference": "float64", "loss_scales": {"float16": {"scale": 1.0}}},
    ),
}


def _add(name: str, analysis: Analysis, twin: _Twin) -> None:
    @router.get(
        f"/{name}",
        name=f"why_{name}_json",
        operation_id=f"why_{name}",
        summary=twin.summary,
        description=twin.help,
        openapi_extra=query_of(Experiment),
        responses={
            200: described(twin.help, "application/json", {"type": "object"}, dict(twin.example)),
            304: {"description": "Not Modified"},
            **problems(422, 503),
        },
        response_class=Response,
    )
    async def get(
        request: Request, experiment: FromQuery, settings: Configured, compute: Computing
    ) -> Response:
        settings.limits.check(analysis.cost(experiment))
        tag = etag("why", name, experiment.to_query())
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


for _name in PAGES:
    _add(_name, ANALYSES[_name], TWINS[_name])


@router.get(
    "/diagnosis",
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
