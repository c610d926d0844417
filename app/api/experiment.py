"""The experiment: its whole result, its stream of events, and itself as a script."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.api.parameters import (
    CHECK,
    AskedByBody,
    AskedByQuery,
    Computing,
    Configured,
    FromQuery,
)
from layerscope.app.api.responses import (
    answered,
    bodiless,
    described,
    described_events,
    described_json,
    problems,
)  # fmt: skip
from layerscope.app.batches import Batches
from layerscope.app.caching import cached, etag, unchanged
from layerscope.app.compute import while_connected
from layerscope.app.forms import body_of, query_of
from layerscope.app.results import GROUPED, complete, patient, planned, result_events
from layerscope.app.streams import EventStream
from layerscope.app.templating import root_path
from layerscope.engine.execution.script import as_pytorch
from layerscope.engine.experiment.presets import PRESETS
from layerscope.engine.experiment.specification import Experiment

__all__ = ["router"]

router = APIRouter(tags=["experiment"], default_response_class=Response)
QUERY = query_of(Experiment)
CHECKED_QUERY = query_of(Experiment, CHECK)
BODY = body_of(Experiment, {"activation": "linear", "init": "normal", "init_scale": 0.1}, CHECK)
EXAMPLE = {
    "experiment": {"depth": 50, "width": 100, "activation": "relu", "init": "kaiming_normal"},
    "loss": 1.23,
    "layers": [{"index": 0, "name": "linear1", "kind": "linear", "block": 1, "shape": [200, 100]}],
    "findings": [],
    "trial": None,
    "unfixed": None,
    "check": None,
}
RESULT = described_json(
    "The experiment's every parameter, its layers in forward order with statistics of each "
    "activation, gradient and parameter, findings with fixes that were tried (or `unfixed`, why "
    "none was), the `trial` after which they stand as they do (short trainings of the experiment "
    "itself where what is found is of a scale, which Adam divides out; null where none was made), "
    "theory, and the check against autograd where `check=true` asks for it, else null.",
    EXAMPLE,
    *("experiment", "loss", "layers", "findings", "trial", "unfixed", "theory", "check", "timing"),
)
EVENTS = described_events(
    "`start` (the specification and the list of layers), then `forward` and `backward` events, "
    'each `{"layers": [record, …]}` in order, `finding` events, `summary`, `check`, a '
    "`fix` for each finding (by its place in the summary) that a changed specification cures, a "
    "`trial` where the experiment itself was trained a little (with the findings, in the summary's "
    "order and with their fixes, and the verdict that stand from then on), and last "
    "`end`. `end` carries an id: a client that reconnects with it as `Last-Event-ID` gets 204. "
    "Should the computation fail after the answer has begun, a `problem` event ends the stream.",
    ("start", "forward", "backward", "finding", "summary", "check", "fix", "trial"),
    'event: start\ndata: {"experiment":{…},"layers":[…]}\nretry: 2000\n\n'
    'event: forward\ndata: {"layers":[{"index":0,"name":"linear1",…}]}\n\n'
    "event: end\ndata: {}\nid: 6d0f…\n\n",
)


@router.get(
    "/experiment",
    summary="Run an experiment, get the whole result",
    openapi_extra=CHECKED_QUERY,
    responses={200: RESULT, **problems(304, 422, 503)},
)
async def get_experiment(request: Request, asked: AskedByQuery, settings: Configured) -> Response:
    """Deterministic: the same query has the same numbers, so it may be cached by its `ETag`."""
    experiment, check = asked
    plan = planned(experiment, settings, check=check)
    tag = etag("result", experiment.to_query(), plan.left_out, check)
    work = partial(complete, experiment, plan.left_out, check=check)
    return await answered(request, tag, work, quick=plan.quick)


@router.post(
    "/experiment",
    summary="Run an experiment given as JSON",
    openapi_extra=BODY,
    responses={200: RESULT, **problems(413, 415, 422, 503)},
)
async def post_experiment(
    request: Request, asked: AskedByBody, settings: Configured, compute: Computing
) -> Response:
    """The same numbers as the `GET` with the same parameters."""
    experiment, check = asked
    plan = planned(experiment, settings, check=check)
    work = partial(complete, experiment, plan.left_out, check=check)
    body = await while_connected(request, compute.run(work, quick=plan.quick))
    path = root_path.get() + request.app.url_path_for("get_experiment")
    link = f"{path}?{urlencode({**experiment.to_query(), **({'check': 'true'} if check else {})})}"
    headers = {"Cache-Control": "no-store", "Content-Location": link}
    return Response(body, media_type="application/json", headers=headers)


@router.get(
    "/experiment/stream",
    summary="Run an experiment, follow it layer by layer",
    openapi_extra=QUERY,
    responses={
        200: EVENTS,
        204: {"description": "This client already got everything, up to `end`."},
        **problems(422, 503),
    },
)
async def stream_experiment(
    request: Request, experiment: FromQuery, settings: Configured, compute: Computing
) -> Response:
    """Events come as they are known; closing the connection stops the computation."""
    plan = planned(experiment, settings)
    tag = etag("stream", experiment.to_query(), plan.left_out)
    last_id = tag.removeprefix('W/"').removesuffix('"')
    if request.headers.get("last-event-id") == last_id:
        return Response(status_code=204)
    if request.state.head:
        return bodiless("text/event-stream", {"Cache-Control": "no-store"})
    work = partial(result_events, experiment, plan.left_out)
    running = Batches(compute, work, quick=plan.quick, patient=patient)
    await while_connected(request, running.started())
    return EventStream(running, grouped=GROUPED, last_id=last_id)


@router.get(
    "/experiment/script",
    summary="The experiment as a stand-alone PyTorch script",
    openapi_extra=QUERY,
    responses={
        200: described("Python source", "text/x-python", {"type": "string"}),
        **problems(304, 422),
    },
)
async def script(request: Request, experiment: FromQuery) -> Response:
    """Needs nothing but torch, and reproduces the same bits."""
    tag = etag("script", experiment.to_query())
    if known := unchanged(request, tag):
        return known
    headers = {
        **cached(request, tag),
        "Content-Disposition": 'inline; filename="layerscope_experiment.py"',
    }
    return Response(as_pytorch(experiment), media_type="text/x-python", headers=headers)


@router.get(
    "/presets",
    summary="Experiments worth looking at",
    responses={200: described("Presets in order", "application/json", {"type": "array"})},
)
async def presets() -> Response:
    """Those of the notes first."""
    every = [
        {"name": p.name, "title": p.title, "note": p.note, "experiment": p.experiment.to_dict(),
         "query": urlencode(p.experiment.to_query())}
        for p in PRESETS
    ]  # fmt: skip
    return Response(orjson.dumps(every), media_type="application/json")
