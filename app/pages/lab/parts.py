"""Parts of the Lab that its scripts ask for: the stream, a pinned experiment, a layer."""

from __future__ import annotations

from functools import partial

import orjson
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.batches import Batches
from layerscope.app.caching import cached, etag, unchanged
from layerscope.app.compute import Compute, while_connected
from layerscope.app.errors import Problem
from layerscope.app.pages.lab.inspector import FIGURES
from layerscope.app.pages.lab.links import elsewhere
from layerscope.app.pages.lab.look import Look
from layerscope.app.pages.lab.progress import Progress
from layerscope.app.pages.lab.stream import GROUPED, messages, patient
from layerscope.app.pages.render import address
from layerscope.app.results import is_quick, planned
from layerscope.app.streams import EventStream
from layerscope.app.templating import templates
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.diagnosis.run import run, run_cost
from layerscope.engine.execution.cost import Limits, OverLimit
from layerscope.engine.execution.layer_tensors import tensors_cost
from layerscope.engine.execution.network import layout
from layerscope.engine.experiment.specification import Experiment

__all__ = ["router"]

INSPECTOR, PICTURES = "partials/lab/inspector.html", "macros/tensors.html"

router = APIRouter(include_in_schema=False)


@router.get("/lab/stream", response_class=Response)
async def lab_stream(request: Request) -> Response:
    """What the form asks for when it changes: drawings and words, as they are known."""
    settings, compute = request.app.state.settings, request.app.state.compute
    pairs, npy = request.query_params.multi_items(), address(request, "tensor")
    experiment, look = Look.read(pairs, npy, settings.limits)
    plan = planned(experiment, settings)
    if request.state.head:
        return Response(media_type="text/event-stream", headers={"Cache-Control": "no-store"})
    progress = Progress(experiment, address(request, "lab"))
    work = partial(messages, progress, elsewhere(request, experiment), plan.left_out, look)
    running = Batches(compute, work, quick=plan.quick, patient=patient)
    await while_connected(request, running.started())
    return EventStream(running, grouped=GROUPED)


@router.get("/lab/drawing", response_class=Response)
async def lab_drawing(request: Request) -> Response:
    """All that is drawn of a pinned experiment, and its verdict."""
    experiment = Experiment.from_strings(request.query_params.multi_items())
    needed = request.app.state.settings.limits.check(run_cost(experiment))
    if request.state.head:
        return Response(media_type="application/json", headers={"Cache-Control": "no-store"})
    progress = Progress(experiment, address(request, "lab"))
    work = partial(_drawn, progress)
    compute: Compute = request.app.state.compute
    body = await while_connected(request, compute.run(work, quick=is_quick(needed.flops)))
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})


def _drawn(progress: Progress, should_stop: ShouldStop) -> bytes:
    for event in run(progress.experiment, fixes=False, should_stop=should_stop):
        progress.take(event)
    return orjson.dumps(progress.drawing)


@router.get("/lab/layer", response_class=HTMLResponse)
async def lab_layer(request: Request) -> Response:
    """A block, as the inspector shows it; or why it can't be shown."""
    pairs, npy = request.query_params.multi_items(), address(request, "tensor")
    limits: Limits = request.app.state.settings.limits
    try:
        experiment, look = Look.read(pairs, npy, limits)
        needed = limits.check(tensors_cost(experiment))
        last = layout(experiment)[-1].block
        if look.block is None or look.block > last:
            raise Problem(404, f"layer {look.block or ''}: expected 1 to {last}")
        written = _source(INSPECTOR), _source(PICTURES)
        tag = etag("inspector", *written, experiment.to_query(), look.block, look.side)
        if known := unchanged(request, tag):
            return known
        if request.state.head:
            return HTMLResponse(headers=cached(request, tag))
        work = partial(_inspected, look, experiment, look.block)
        compute: Compute = request.app.state.compute
        html = await while_connected(request, compute.run(work, quick=is_quick(needed.flops)))
    except (InvalidParameters, OverLimit, Problem) as refusal:
        refused = templates.env.get_template("partials/lab/not_inspected.html")
        status, headers = 422, {}
        if isinstance(refusal, Problem):
            status, headers = refusal.status, refusal.headers
        return HTMLResponse(refused.render(why=str(refusal)), status, headers)
    return HTMLResponse(html, headers=cached(request, tag))


def _inspected(look: Look, experiment: Experiment, block: int, should_stop: ShouldStop) -> str:
    inspected = look.at(experiment, block, should_stop)
    return templates.env.get_template(INSPECTOR).render(inspected=inspected, columns=FIGURES)


def _source(template: str) -> str:
    loader = templates.env.loader
    assert loader is not None  # noqa: S101 - the environment is ours
    return loader.get_source(templates.env, template)[0]
