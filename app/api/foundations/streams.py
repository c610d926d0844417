"""Streams of Foundations: the schemes one by one, the matmul race, and time against n."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.api.foundations.questions import openapi_fields
from layerscope.app.api.parameters import Computing
from layerscope.app.api.responses import bodiless, described, problems
from layerscope.app.batches import Batches
from layerscope.app.compute import while_connected
from layerscope.app.errors import invalid
from layerscope.app.foundations import Question, Refused
from layerscope.app.foundations.matmul import MATMUL, race_events, scaling_events
from layerscope.app.foundations.schemes import SCHEMES, experiment_of
from layerscope.app.streams import EventStream, Wire, encoded
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.foundations.record import Record
from layerscope.engine.foundations.schemes import schemes

__all__ = ["router"]

router = APIRouter()
Events = Callable[[Mapping[str, Any], ShouldStop], Iterator[Any]]
NO_STORE = {"Cache-Control": "no-store"}


def _values(question: Question, request: Request) -> Mapping[str, Any]:
    """The query's values, read and checked as the page does.

    Errors: ``Problem`` 422.
    """
    reading = question.read(request.scope["query_string"])
    try:
        if question is SCHEMES and not reading.errors:
            experiment_of(reading.values)
        else:
            question.ask(reading)
    except Refused as refused:
        raise invalid(refused.errors) from None
    except ValueError as error:  # of no field of its own
        field = getattr(error, "field", "query")
        raise invalid([{"field": field, "message": str(error)}]) from None
    return reading.values


def _encoded(events: Events, values: Mapping[str, Any], should_stop: ShouldStop) -> Iterator[Wire]:
    return map(encoded, events(values, should_stop))


def _whole(found: list[Record]) -> dict[str, Any]:
    """Events put together: the start's and the end's fields, and what came between in a list."""
    start, *between, end = (event.to_dict() for event in found)
    return {**start, "results": between, **end}


def _add(path: str, question: Question, events: Events, summary: str, text: str) -> None:
    """``path/stream``: one event after the other, on the lane where one races at a time."""
    alone = question is MATMUL

    @router.get(
        f"{path}/stream",
        name=f"foundations_{path.strip('/').replace('/', '_')}_stream",
        summary=summary,
        description=text,
        openapi_extra={"parameters": openapi_fields(question.fields)},
        responses={
            200: described(text, "text/event-stream", {"type": "string"}),
            **problems(422, 503),
        },
        response_class=Response,
    )
    async def stream(request: Request, compute: Computing) -> Response:
        values = _values(question, request)
        if request.state.head:
            return bodiless("text/event-stream", NO_STORE)
        lane = compute.lane if alone else None
        if lane is not None:
            lane.admit()
        return EventStream(Batches(compute, partial(_encoded, events, values), lane=lane))


def _add_whole(path: str, events: Events, between: str, summary: str, example: Any) -> None:
    """``path``: everything at once, when the last variant is through."""

    @router.get(
        path,
        name=f"foundations_{path.strip('/').replace('/', '_')}_json",
        summary=summary,
        description=MATMUL.help,
        openapi_extra={"parameters": openapi_fields(MATMUL.fields)},
        responses={
            200: described(MATMUL.help, "application/json", {"type": "object"}, example),
            **problems(422, 503),
        },
        response_class=Response,
    )
    async def whole(request: Request, compute: Computing) -> Response:
        values = _values(MATMUL, request)
        if request.state.head:
            return bodiless("application/json", NO_STORE)
        compute.lane.admit()
        found = await while_connected(
            request, compute.run(lambda stop: list(events(values, stop)), compute.lane)
        )
        kept = [e for e in found if e.event == between or e is found[0] or e is found[-1]]
        body = orjson.dumps(_whole(kept))
        return Response(body, media_type="application/json", headers=NO_STORE)


def _schemes(values: Mapping[str, Any], should_stop: ShouldStop) -> Iterator[Any]:
    return schemes(experiment_of(values), should_stop=should_stop)


_add(
    "/schemes",
    SCHEMES,
    _schemes,
    "The init schemes, one by one",
    "`start`, a `scheme` event for each, last `end` with those that hold.",
)
_add(
    "/matmul",
    MATMUL,
    race_events,
    "The matmul race as it is run",
    "`waiting` while another race runs; `race_start`, then for every variant `race_progress` and "
    "one `race_result`, `race_end`, and last `end`. Closing the connection ends the race.",
)
_add(
    "/matmul/scaling",
    MATMUL,
    scaling_events,
    "Time against n as it is measured",
    "`waiting` while a race runs; `scaling_start`, a `scaling_point` for every size and variant "
    "with the exponent fitted so far, `scaling_end`, and last `end`.",
)
_add_whole("/matmul", race_events, "race_result", MATMUL.summary, dict(MATMUL.example))
_add_whole(
    "/matmul/scaling",
    scaling_events,
    "scaling_point",
    "How the time grows with n: points, and the fitted exponents",
    {"fits": {"loops": {"exponent": 3.0}}},
)
