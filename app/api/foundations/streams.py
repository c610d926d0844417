"""Streams of Foundations: the schemes one by one, the matmul race, and time against n."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.api.parameters import Computing
from layerscope.app.api.responses import bodiless, described, problems
from layerscope.app.batches import Batches
from layerscope.app.forms import Form, query_of
from layerscope.app.foundations import Step
from layerscope.app.foundations.matmul import SCALING, race_events, scaling_events
from layerscope.app.foundations.matmul import STEP as MATMUL
from layerscope.app.foundations.schemes import STEP as SCHEMES
from layerscope.app.foundations.schemes import SchemesForm
from layerscope.app.streams import EventStream, Wire, encoded
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.foundations.schemes import schemes

__all__ = ["router"]

router = APIRouter()
Events = Callable[[Any, ShouldStop], Iterator[Any]]


def _encoded(events: Events, asked: object, should_stop: ShouldStop) -> Iterator[Wire]:
    return map(encoded, events(asked, should_stop))


def _add(step: Step, events: Events, summary: str, text: str) -> None:
    """``/<name>/stream``: one event after the other, on the lane where one races at a time."""

    @router.get(
        f"/{step.name}/stream",
        name=f"{step.route}_stream",
        summary=summary,
        description=text,
        openapi_extra=query_of(step.form),
        responses={
            200: described(text, "text/event-stream", {"type": "string"}),
            **problems(422, 503),
        },
        response_class=Response,
    )
    async def stream(request: Request, compute: Computing) -> Response:
        asked = Form.read(step.form, request.query_params.multi_items()).valid()
        if request.state.head:
            return bodiless("text/event-stream", {"Cache-Control": "no-store"})
        lane = compute.lane if step.alone else None
        if lane is not None:
            lane.admit()
        return EventStream(Batches(compute, partial(_encoded, events, asked), lane=lane))


def _schemes(asked: SchemesForm, should_stop: ShouldStop) -> Iterator[Any]:
    return schemes(asked.experiment, should_stop=should_stop)


_add(
    SCHEMES,
    _schemes,
    "The init schemes, one by one",
    "`start`, a `scheme` event for each, last `end` with those that hold.",
)
_add(
    MATMUL,
    race_events,
    "The matmul race as it is run",
    "`waiting` while another race runs; `race_start`, then for every variant `race_progress` and "
    "one `race_result`, `race_end`, and last `end`. Closing the connection ends the race.",
)
_add(
    SCALING,
    scaling_events,
    "Time against n as it is measured",
    "`waiting` while a race runs; `scaling_start`, a `scaling_point` for every size and variant "
    "with the exponent fitted so far, `scaling_end`, and last `end`.",
)
