"""The init schemes' page: a panel for each, written as each is computed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.batches import Batches
from layerscope.app.compute import while_connected
from layerscope.app.errors import Problem, invalid
from layerscope.app.figures.schemes import Panel, panel
from layerscope.app.foundations import Reading, Refused
from layerscope.app.foundations.query import FieldError
from layerscope.app.foundations.schemes import SCHEMES, experiment_of
from layerscope.app.pages.foundations.step import Step, answered, step_page
from layerscope.app.pages.render import FLUSH, flushed, stream
from layerscope.app.streams import EventStream, GrowingResponse, Wire
from layerscope.app.templating import templates
from layerscope.engine.basis.cancellation import ShouldStop, Stopped
from layerscope.engine.basis.refusals import field_error
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.foundations.schemes import SchemeResult, schemes
from layerscope.engine.initialization import INITS

__all__ = ["STEP"]

TEMPLATE = "pages/foundations/schemes.html"
PARTIAL = "partials/foundations/scheme.html"


@dataclass
class View:
    """What the template draws: panels as they come, and after the last of them who holds."""

    panels: AsyncIterator[tuple[Panel, str]]
    """Each with the Lab's address for it."""
    holding: list[str]
    """Filled while the panels are written."""
    flush: str = FLUSH

    @property
    def summary(self) -> str:
        """Known once the last panel was written."""
        return _summary(self.holding)


def _summary(holding: list[str]) -> str:
    if not holding:
        return "No scheme holds the signal here."
    return f"{len(holding)} of {len(INITS)} hold the signal: {', '.join(holding)}."


def _accepted(reading: Reading) -> Experiment:
    """The specification of a query.

    Errors: `Refused`.
    """
    if reading.errors:
        raise Refused(reading.errors)
    try:
        return experiment_of(reading.values)
    except FieldError as error:
        value = reading.typed[error.field]
        raise Refused([field_error(error.field, error.message, value)]) from None


router = APIRouter(include_in_schema=False)


@router.get("/foundations/schemes", response_class=HTMLResponse)
async def show(request: Request) -> Response:
    """Every scheme on the specification of the query string; the page grows as they come."""
    reading = SCHEMES.read(request.scope["query_string"])
    try:
        experiment = _accepted(reading)
    except Refused as refused:
        page = step_page(request, "schemes", SCHEMES, reading, refused.errors)
        return await answered(request, page, 422)
    if request.state.head:
        return HTMLResponse(headers={"Cache-Control": "private, no-cache"})
    running = Batches(request.app.state.compute, partial(_results, experiment))
    try:
        await while_connected(request, running.started())
    except Problem as busy:
        page = step_page(request, "schemes", SCHEMES, reading, [field_error("", str(busy))])
        return await answered(request, page, busy.status)
    try:
        holding: list[str] = []
        view = View(_panels(holding, running, experiment), holding)
        page = step_page(request, "schemes", SCHEMES, reading, (), experiment, view)
        pieces = flushed(stream(request, TEMPLATE, page))
        return GrowingResponse(pieces, running, headers={"Vary": "HX-Request"})
    except BaseException:  # the page could not be begun: nothing else would stop the work
        running.stop()
        raise


@router.get("/foundations/schemes/stream", response_class=Response)
async def panels(request: Request) -> Response:
    """The panels as HTML, one event each: what the page swaps in when its form changes."""
    reading = SCHEMES.read(request.scope["query_string"])
    try:
        experiment = _accepted(reading)
    except Refused as refused:
        raise invalid(refused.errors) from None
    return EventStream(Batches(request.app.state.compute, partial(_written, experiment)))


def _written(experiment: Experiment, should_stop: ShouldStop) -> Iterator[Wire]:
    template = templates.env.get_template(PARTIAL)
    holding = []
    for result in _results(experiment, should_stop):
        holding += [result.name] if result.outcome == "holds" else []
        drawn = panel(result, experiment.depth)
        yield "scheme", template.render(scheme=drawn, lab=_lab(experiment, drawn))
    yield "holding", _summary(holding)


def _results(experiment: Experiment, should_stop: ShouldStop) -> Iterator[SchemeResult]:
    for event in schemes(experiment, should_stop=should_stop):
        if isinstance(event, SchemeResult):
            yield event


async def _panels(
    holding: list[str], running: Batches[SchemeResult], experiment: Experiment
) -> AsyncGenerator[tuple[Panel, str], None]:
    with contextlib.suppress(Stopped):
        async for batch in running:
            for result in batch:
                if result.outcome == "holds":
                    holding.append(result.name)
                drawn = panel(result, experiment.depth)
                yield drawn, _lab(experiment, drawn)


def _lab(experiment: Experiment, drawn: Panel) -> str:
    """The Lab's address for this specification with this scheme."""
    query = urlencode(experiment.model_copy(update=drawn.lab).to_query())
    return f"/?{query}" if query else "/"


STEP = Step(
    "schemes",
    "Init schemes",
    "How weights are drawn decides whether a signal survives fifty layers.",
    router,
)
