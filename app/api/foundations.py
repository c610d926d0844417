"""Foundations as JSON: a twin for the page of each step, and streams of what takes its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.api.parameters import Computing
from layerscope.app.api.responses import (
    bodiless,
    described_events,
    described_json,
    problems,
)  # fmt: skip
from layerscope.app.batches import Batches
from layerscope.app.caching import cached, etag, unchanged
from layerscope.app.compute import while_connected
from layerscope.app.encoding import json_bytes
from layerscope.app.forms import Form, query_of
from layerscope.app.foundations import TOUR, Step, matmul, schemes
from layerscope.app.streams import EventStream, Wire, encoded
from layerscope.engine.basis.cancellation import ShouldStop

__all__ = ["router"]

router = APIRouter(prefix="/foundations", tags=["foundations"], default_response_class=Response)

Events = Callable[[Any, ShouldStop], Iterator[Any]]


def _add_twin(step: Step) -> None:
    """``GET /<name>``: the step's answer as it is, or a problem by field."""

    @router.get(
        f"/{step.name}",
        name=step.twin,
        operation_id=step.route,
        summary=step.summary,
        description=step.help,
        openapi_extra=query_of(step.form),
        responses={200: described_json(step.help, dict(step.example)), **problems(304, 422, 503)},
    )
    async def get(request: Request, compute: Computing) -> Response:
        form = Form.read(step.form, request.query_params.multi_items())
        form.valid()
        lane = None
        if step.alone:  # what is measured is never twice the same
            headers = {"Cache-Control": "no-store"}
            if request.state.head:
                return bodiless("application/json", headers)
            lane = compute.lane
            lane.admit()
        else:
            tag = etag("foundations", step.name, sorted(form.typed.items()))
            if known := unchanged(request, tag):
                return known
            headers = cached(request, tag)
        work = compute.run(partial(_answer, step, form), lane, quick=not step.alone)
        body = await while_connected(request, work)
        if request.state.head:
            return bodiless("application/json", headers)
        return Response(body, media_type="application/json", headers=headers)


def _answer(step: Step, form: Form[Any], should_stop: ShouldStop) -> bytes:
    return json_bytes(step.ask(form, should_stop))


def _encoded(events: Events, asked: object, should_stop: ShouldStop) -> Iterator[Wire]:
    return map(encoded, events(asked, should_stop))


def _add_stream(step: Step, events: Events, names: Sequence[str], summary: str, text: str) -> None:
    """``GET /<name>/stream``: one event after the other, on the lane where one races at a time."""

    @router.get(
        f"/{step.name}/stream",
        name=f"{step.route}_stream",
        summary=summary,
        description=text,
        openapi_extra=query_of(step.form),
        responses={
            200: described_events(text, names),
            **problems(422, 503),
        },
    )
    async def stream(request: Request, compute: Computing) -> Response:
        asked = Form.read(step.form, request.query_params.multi_items()).valid()
        if request.state.head:
            return bodiless("text/event-stream", {"Cache-Control": "no-store"})
        lane = compute.lane if step.alone else None
        if lane is not None:
            lane.admit()
        return EventStream(Batches(compute, partial(_encoded, events, asked), lane=lane))


for _step in (*TOUR, matmul.SCALING):
    _add_twin(_step)
_add_stream(
    schemes.STEP,
    schemes.scheme_events,
    ("start", "scheme"),
    "The init schemes, one by one",
    "`start`, a `scheme` event for each, last `end` with those that hold.",
)
_add_stream(
    matmul.STEP,
    matmul.race_events,
    ("race_start", "race_progress", "race_result", "race_end"),
    "The matmul race as it is run",
    "`waiting` while another race runs; `race_start`, then for every variant `race_progress` and "
    "one `race_result`, `race_end`, and last `end`. Closing the connection ends the race.",
)
_add_stream(
    matmul.SCALING,
    matmul.scaling_events,
    ("scaling_start", "scaling_point", "scaling_end"),
    "Time against n as it is measured",
    "`waiting` while a race runs; `scaling_start`, a `scaling_point` for every size and variant "
    "with the exponent fitted so far, `scaling_end`, and last `end`.",
)
