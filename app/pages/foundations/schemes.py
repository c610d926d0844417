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
from layerscope.app.errors import Problem
from layerscope.app.figures.schemes import Panel, panel
from layerscope.app.forms import Form
from layerscope.app.foundations.schemes import STEP, SchemesForm
from layerscope.app.pages.foundations.step import answered, step_page
from layerscope.app.pages.render import FLUSH, address, flushed, shared, stream
from layerscope.app.streams import EventStream, GrowingResponse, Wire
from layerscope.app.templating import templates
from layerscope.engine.basis.cancellation import ShouldStop, Stopped
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.foundations.schemes import SchemeResult, schemes
from layerscope.engine.layers.initialization import INITS

__all__ = ["View", "router"]

TEMPLATE = "pages/foundations/schemes.html"
PARTIAL = "partials/foundations/scheme.html"


@dataclass
class View:
    """What the template draws: panels as they come, and after the last of them who holds."""

    panels: AsyncIterator[tuple[Panel, str]]
    """Each with its address in the Lab."""
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


router = APIRouter(include_in_schema=False)


@router.get("/foundations/schemes", response_class=HTMLResponse, name=STEP.route)
async def show(request: Request) -> Response:
    """Every scheme on the specification of the query string; the page grows as they come."""
    form = Form.read(SchemesForm, request.query_params.multi_items())
    if form.value is None:
        return await answered(request, step_page(request, STEP, form), 422)
    experiment = form.value.experiment
    if request.state.head:
        return HTMLResponse(headers={"Cache-Control": "private, no-cache"})
    running: Batches[SchemeResult] = Batches(
        request.app.state.compute, partial(_results, experiment)
    )
    try:
        await while_connected(request, running.started())
    except Problem as busy:
        page = step_page(request, STEP, form.refused(str(busy)))
        return await answered(request, page, busy.status)
    try:
        holding: list[str] = []
        lab = address(request, "lab")
        view = View(_panels(holding, running, experiment, lab), holding)
        page = step_page(request, STEP, form, experiment, view)
        pieces = flushed(stream(request, TEMPLATE, page))
        return GrowingResponse(pieces, running, headers=shared(request))
    except BaseException:  # the page could not be begun: nothing else would stop the work
        running.stop()
        raise


@router.get("/foundations/schemes/stream", response_class=Response, name="scheme_panels")
async def panels(request: Request) -> Response:
    """The panels as HTML, one event each: what the page swaps in when its form changes."""
    experiment = Form.read(SchemesForm, request.query_params.multi_items()).valid().experiment
    if request.state.head:
        return Response(media_type="text/event-stream", headers={"Cache-Control": "no-store"})
    work = partial(_written, experiment, address(request, "lab"))
    return EventStream(Batches(request.app.state.compute, work))


def _written(experiment: Experiment, lab: str, should_stop: ShouldStop) -> Iterator[Wire]:
    template = templates.env.get_template(PARTIAL)
    holding: list[str] = []
    for result in _results(experiment, should_stop):
        drawn, link = _drawn(result, experiment, holding, lab)
        yield "scheme", template.render(scheme=drawn, lab=link)
    yield "holding", _summary(holding)


def _results(experiment: Experiment, should_stop: ShouldStop) -> Iterator[SchemeResult]:
    events = schemes(experiment, should_stop=should_stop)
    return (event for event in events if isinstance(event, SchemeResult))


async def _panels(
    holding: list[str], running: Batches[SchemeResult], experiment: Experiment, lab: str
) -> AsyncGenerator[tuple[Panel, str], None]:
    with contextlib.suppress(Stopped):
        async for batch in running:
            for result in batch:
                yield _drawn(result, experiment, holding, lab)


def _drawn(
    result: SchemeResult, experiment: Experiment, holding: list[str], lab: str
) -> tuple[Panel, str]:
    """The panel, and the scheme's address in the Lab; its name joins those that hold the signal."""
    if result.outcome == "holds":
        holding.append(result.name)
    query = urlencode(experiment.model_copy(update={"init": result.name}).to_query())
    return panel(result, experiment.depth), f"{lab}?{query}" if query else lab
