"""The Lab: one experiment, its controls, its signal, its charts; streamed as it is computed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.batches import Batches
from layerscope.app.compute import while_connected
from layerscope.app.errors import Problem
from layerscope.app.figures import lab_figures
from layerscope.app.forms import Control
from layerscope.app.pages.controls import experiment_controls
from layerscope.app.pages.lab.captions import ChartWords
from layerscope.app.pages.lab.charts import FRAMES, Frame
from layerscope.app.pages.lab.cold import Row, Writing
from layerscope.app.pages.lab.elsewhere import Elsewhere, elsewhere
from layerscope.app.pages.lab.presets import PresetLink, preset_links, sketches
from layerscope.app.pages.lab.progress import Progress
from layerscope.app.pages.lab.query import Pairs, experiment_of
from layerscope.app.pages.lab.table import TableRow
from layerscope.app.pages.lab.verdict import VerdictWords
from layerscope.app.pages.render import FLUSH, SEND, Page, flushed, render, stream
from layerscope.app.results import events
from layerscope.app.settings import Settings
from layerscope.app.streams import GrowingResponse
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.execution.cost import OverLimit
from layerscope.engine.experiment.specification import Experiment

__all__ = ["PAGE", "Addresses", "LabPage"]

TEMPLATE = "pages/lab.html"
UNREACHABLE = VerdictWords(
    "error", "No result", "The server can't be reached. Change a control to try again."
)


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a page of the Lab asks for: parts of itself, and of the API."""

    lab: str
    stream: str
    drawing: str
    layer: str
    call: str
    script: str

    @classmethod
    def of(cls, request: Request) -> Addresses:
        """As ``request``'s server has them."""
        names = ("lab", "lab_stream", "lab_drawing", "lab_layer", "get_experiment", "script")
        return cls(*(request.url_for(name).path for name in names))


@dataclass(frozen=True)
class LabPage:
    """What the Lab's template receives; what is called waits for the computation."""

    at: Addresses
    presets: Sequence[PresetLink]
    controls: Sequence[Control]
    refusal: str
    strip: AsyncIterator[Row] | Sequence[Row]
    verdict: Callable[[], Awaitable[VerdictWords]]
    with_fixes: Callable[[], Awaitable[VerdictWords]]
    elsewhere: Elsewhere
    words: Callable[[], Sequence[ChartWords]]
    readouts: Callable[[], Sequence[tuple[str, str]]]
    rows: Callable[[], Sequence[TableRow]]
    charts: Sequence[Frame]
    figures: Mapping[str, Any]
    drawing: Callable[[], Mapping[str, Any] | None]
    late: Callable[[], AsyncIterator[Progress]]
    unreachable: VerdictWords = UNREACHABLE
    flush: str = ""
    send: str = ""


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # Beside the server's start, not before it: a page that comes sooner waits for its sketches.
    if app.state.settings.warm_up:
        warming = asyncio.create_task(asyncio.to_thread(sketches))
        yield
        await warming
    else:
        yield


router = APIRouter(include_in_schema=False, lifespan=_lifespan)
PAGE = Page("/", "Lab", "Lab", router)


@router.get("/", response_class=HTMLResponse)
async def lab(request: Request) -> Response:
    """The Lab for the experiment in the query string, or the form with what is wrong with it."""
    settings: Settings = request.app.state.settings
    pairs = request.query_params.multi_items()
    try:
        experiment = experiment_of(request, pairs)
        if request.state.head:
            return HTMLResponse(headers={"Cache-Control": "private, no-cache"})
        await anyio.to_thread.run_sync(sketches)  # before a place is taken, not while others wait
        work = partial(events, experiment, settings.check_max_flops)
        running = Batches(request.app.state.compute, work)
        await while_connected(request, running.started())
    except InvalidParameters as error:
        return await _refused(request, pairs, error.errors, 422)
    except OverLimit as error:
        return await _refused(request, pairs, [_general(error)], 422)
    except Problem as problem:
        return await _refused(request, pairs, [_general(problem)], problem.status)
    try:
        page = _accepted(request, pairs, experiment, running)
        return GrowingResponse(flushed(stream(request, TEMPLATE, page)), running)
    except BaseException:  # the page could not be begun: nothing else would stop the work
        running.stop()
        raise


def _accepted(
    request: Request, pairs: Pairs, experiment: Experiment, running: Batches[Any]
) -> LabPage:
    at = Addresses.of(request)
    progress = Progress(experiment, at.lab)
    writing = Writing(running, progress)
    return LabPage(
        at=at,
        presets=preset_links(experiment, at.lab),
        controls=list(experiment_controls(dict(pairs), {}).values()),
        refusal="",
        strip=writing.rows(),
        verdict=writing.verdict,
        with_fixes=writing.with_fixes,
        elsewhere=elsewhere(request, experiment),
        words=lambda: progress.charts if progress.summary else (),
        readouts=lambda: progress.readouts if progress.summary else (),
        rows=lambda: progress.rows if progress.summary else (),
        charts=FRAMES,
        figures=_figures(),
        drawing=lambda: progress.drawing if progress.summary else None,
        late=writing.late,
        flush=FLUSH,
        send=SEND,
    )


async def _refused(
    request: Request,
    pairs: Pairs,
    errors: Sequence[Mapping[str, Any]],
    status: int,
) -> HTMLResponse:
    await anyio.to_thread.run_sync(sketches)
    at = Addresses.of(request)
    messages = {e["field"]: e["message"] for e in errors}
    words = "; ".join(_words(e["field"], e["message"]) for e in errors)
    others = [_words(f, m) for f, m in messages.items() if f not in Experiment.model_fields]

    async def nothing() -> VerdictWords:
        return VerdictWords("error", "Nothing was run", words)

    async def never() -> AsyncIterator[Progress]:
        return
        yield

    page = LabPage(
        at=at,
        presets=preset_links(None, at.lab),
        controls=list(experiment_controls(dict(pairs), messages).values()),
        refusal="; ".join(others),
        strip=(),
        verdict=nothing,
        with_fixes=nothing,
        elsewhere=elsewhere(request, None),
        words=tuple,
        readouts=tuple,
        rows=tuple,
        charts=FRAMES,
        figures=_figures(),
        drawing=lambda: None,
        late=never,
    )
    return await render(request, TEMPLATE, page, status)


def _general(error: Exception) -> dict[str, str]:
    """An error of no one control."""
    return {"field": "", "message": str(error)}


def _words(field: str, message: str) -> str:
    return f"{field}: {message}" if field else message


@cache
def _figures() -> dict[str, Any]:
    return lab_figures()
