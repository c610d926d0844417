"""The init schemes' page: a panel for each, written as each is computed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from layerscope.app.compute import while_connected
from layerscope.app.errors import Problem, field_error, invalid
from layerscope.app.figures.schemes import Panel, panel
from layerscope.app.foundations import Reading, Refused
from layerscope.app.foundations.live import Live, follow
from layerscope.app.foundations.query import FieldError
from layerscope.app.foundations.schemes import SCHEMES, experiment_of
from layerscope.app.pages.foundations.step import Step, StepPage, answered, step_page
from layerscope.app.pages.render import stream
from layerscope.app.pages.running import FLUSH, flushed
from layerscope.app.templating import templates
from layerscope.engine.basis.cancellation import ShouldStop, Stopped
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
    work = follow(request.app.state.compute, lambda stop: _results(experiment, stop))
    try:
        first = await while_connected(request, _next(work))
    except Problem as busy:
        page = step_page(request, "schemes", SCHEMES, reading, [field_error("", str(busy))])
        return await answered(request, page, busy.status)
    try:
        holding: list[str] = []
        view = View(_panels(holding, first, work, experiment), holding)
        page = step_page(request, "schemes", SCHEMES, reading, (), experiment, view)
        return _Growing(request, page, work)
    except BaseException:  # the page could not be begun: nothing else would stop the work
        await work.aclose()
        raise


@router.get("/foundations/schemes/stream", response_class=Response)
async def panels(request: Request) -> Response:
    """The panels as HTML, one event each: what the page swaps in when its form changes."""
    reading = SCHEMES.read(request.scope["query_string"])
    try:
        experiment = _accepted(reading)
    except Refused as refused:
        raise invalid(refused.errors) from None

    def work(should_stop: ShouldStop) -> Iterator[tuple[str, str]]:
        template = templates.env.get_template(PARTIAL)
        holding = []
        for result in _results(experiment, should_stop):
            holding += [result.name] if result.outcome == "holds" else []
            drawn = panel(result, experiment.depth)
            query = _lab(experiment, drawn)
            yield "scheme", template.render(scheme=drawn, lab=query)
        yield "holding", _summary(holding)

    return Live(request.app.state.compute, work)


def _results(experiment: Experiment, should_stop: ShouldStop) -> Iterator[SchemeResult]:
    for event in schemes(experiment, should_stop=should_stop):
        if isinstance(event, SchemeResult):
            yield event


async def _next(work: AsyncIterator[SchemeResult]) -> SchemeResult:
    try:
        return await anext(work)
    except StopAsyncIteration:
        raise Stopped from None


async def _panels(
    holding: list[str],
    first: SchemeResult,
    rest: AsyncIterator[SchemeResult],
    experiment: Experiment,
) -> AsyncGenerator[tuple[Panel, str], None]:
    result: SchemeResult | None = first
    while result is not None:
        if result.outcome == "holds":
            holding.append(result.name)
        drawn = panel(result, experiment.depth)
        yield drawn, _lab(experiment, drawn)
        result = await anext(rest, None)


def _lab(experiment: Experiment, drawn: Panel) -> str:
    """The Lab's address for this specification with this scheme."""
    query = urlencode(experiment.model_copy(update=drawn.lab).to_query())
    return f"/?{query}" if query else "/"


class _Growing(StreamingResponse):
    """The page, sent as its panels come; a closed connection stops the computation."""

    def __init__(
        self, request: Request, page: StepPage, work: AsyncGenerator[SchemeResult, None]
    ) -> None:
        headers = {
            "Cache-Control": "private, no-cache", "X-Accel-Buffering": "no", "Vary": "HX-Request",
        }  # fmt: skip
        pieces = flushed(stream(request, TEMPLATE, page))
        super().__init__(pieces, media_type="text/html", headers=headers)
        self._running = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._running.aclose()


STEP = Step(
    "schemes",
    "Init schemes",
    "How weights are drawn decides whether a signal survives fifty layers.",
    router,
)
