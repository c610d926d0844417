"""The Lab: one experiment, its controls, its signal, its charts; streamed as it is computed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import anyio.to_thread
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.compute import Compute, while_connected
from layerscope.app.errors import Problem
from layerscope.app.figures import lab_figures
from layerscope.app.pages.controls import Control, controls
from layerscope.app.pages.lenses import LensLink, lenses, rules_page
from layerscope.app.pages.outcome import Outcome, outcome
from layerscope.app.pages.presets import PresetLink, preset_links, sketches
from layerscope.app.pages.remedies import Remedies, fix_link
from layerscope.app.pages.render import Page, render, stream
from layerscope.app.pages.running import FLUSH, Row, Running, flushed
from layerscope.app.settings import Settings
from layerscope.app.streams import GrowingResponse
from layerscope.engine.execution.cost import OverLimit, cost
from layerscope.engine.experiment.specification import Experiment, InvalidExperiment

__all__ = ["PAGE", "Chart", "LabPage", "Tabs"]

TEMPLATE = "pages/lab.html"
MOST_PARAMETERS = 100


@dataclass(frozen=True, slots=True)
class Tabs:
    """A choice in a chart's header: (value, text) pairs."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart's heading; its form is in ``layerscope.app.figures.lab`` under the same name."""

    name: str
    title: str
    note: str
    tabs: Tabs | None = None
    forecast: bool = False
    """Whether theory's forecast for each number format is told under it."""


SIDE = Tabs(
    "side", "Which side of the activation function", (("after", "after φ"), ("before", "before φ"))
)
TENSOR = Tabs(
    "tensor",
    "Which tensors",
    (("activations", "activations"), ("gradients", "gradients"), ("weights", "weights")),
)
CHARTS = (
    Chart("activations", "Activations", "std, |mean| thin, theory dashed", SIDE, forecast=True),
    Chart("gradients", "Gradients", "std of ∂L/∂y, ‖∂L/∂w‖ dotted", SIDE, forecast=True),
    Chart("magnitudes", "Magnitudes", "share per power of two", TENSOR),
    Chart("silent", "Silent units", "bars: zero for every sample; line: share of zeros"),
)


@dataclass(frozen=True)
class LabPage:
    """What the Lab's template receives."""

    presets: Sequence[PresetLink]
    controls: Sequence[Control]
    refusal: str
    strip: AsyncIterator[Row] | Sequence[Row]
    outcome: Callable[[], Coroutine[Any, Any, Outcome]]
    remedies: Callable[[], Coroutine[Any, Any, Remedies]]
    result: Callable[[], Mapping[str, Any] | None]
    lenses: Sequence[LensLink]
    rules: str
    """Where the rules of the diagnosis are explained; empty without such a page."""
    charts: Sequence[Chart]
    figures: Mapping[str, Any]
    flush: str = ""


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
    compute: Compute = request.app.state.compute
    try:
        pairs = _pairs(request)
        experiment = Experiment.from_strings(pairs)
        settings.limits.check(cost(experiment))
        if request.state.head:
            return HTMLResponse(headers={"Cache-Control": "private, no-cache"})
        await anyio.to_thread.run_sync(sketches)  # before a slot is taken, not while others wait
        running = Running(experiment, compute)
        await while_connected(request, running.batches.started())
    except InvalidExperiment as error:
        return await _refused(request, pairs, error.errors, 422)
    except OverLimit as error:
        return await _refused(request, pairs, [_general(error)], 422)
    except Problem as problem:
        return await _refused(request, pairs, [_general(problem)], problem.status)
    try:
        return _accepted(request, pairs, running)
    except BaseException:  # the page could not be begun: nothing else would stop the experiment
        running.batches.stop()
        raise


Ends = tuple[
    Callable[[], Coroutine[Any, Any, Outcome]],
    Callable[[], Coroutine[Any, Any, Remedies]],
    Callable[[], Mapping[str, Any] | None],
]
"""What a page asks for when the strip is through, in this order."""


def _accepted(
    request: Request, pairs: Sequence[tuple[str, str]], running: Running
) -> GrowingResponse:
    experiment = running.experiment
    known: dict[str, Any] = {}

    async def ended() -> Outcome:
        found = await running.result()
        if found is None:
            return Outcome(
                "error", "No result", "The computation failed; the server's log says why."
            )
        known.update(found[0])
        return await anyio.to_thread.run_sync(outcome, *found)

    async def remedies() -> Remedies:
        if not known:
            return Remedies({}, none_helps=False)
        fixes = await running.fixes()
        for fix in fixes:
            known["findings"][fix["finding"]].update(
                fix=fix["fix"], fix_verified=fix["fix_verified"]
            )
        known["fixes"] = fixes
        links = {fix["finding"]: fix_link(experiment, fix) for fix in fixes}
        faulty = known["verdict"]["severity"] in ("warning", "error")
        return Remedies(links, faulty and not links and running.finished)

    page = _page(
        pairs, experiment, {}, running.rows(), (ended, remedies, lambda: known or None), FLUSH
    )
    return GrowingResponse(flushed(stream(request, TEMPLATE, page)), running.batches)


async def _refused(
    request: Request,
    pairs: Sequence[tuple[str, str]],
    errors: Sequence[Mapping[str, Any]],
    status: int,
) -> HTMLResponse:
    await anyio.to_thread.run_sync(sketches)
    words = "; ".join(_words(e["field"], e["message"]) for e in errors)

    async def nothing() -> Outcome:
        return Outcome("error", "Nothing was run", words)

    async def no_remedy() -> Remedies:
        return Remedies({}, none_helps=False)

    messages = {e["field"]: e["message"] for e in errors}
    page = _page(pairs, None, messages, (), (nothing, no_remedy, lambda: None))
    return await render(request, TEMPLATE, page, status)


def _page(
    pairs: Sequence[tuple[str, str]],
    experiment: Experiment | None,
    errors: Mapping[str, str],
    strip: AsyncIterator[Row] | Sequence[Row],
    ends: Ends,
    flush: str = "",
) -> LabPage:
    ended, remedies, result = ends
    elsewhere = [_words(f, m) for f, m in errors.items() if f not in Experiment.model_fields]
    return LabPage(
        presets=preset_links(experiment),
        controls=controls(dict(pairs), errors),
        refusal="; ".join(elsewhere),
        strip=strip,
        outcome=ended,
        remedies=remedies,
        result=result,
        lenses=lenses(experiment),
        rules=rules_page(),
        charts=CHARTS,
        figures=_figures(),
        flush=flush,
    )


def _general(error: Exception) -> dict[str, str]:
    """An error of no one control."""
    return {"field": "", "message": str(error)}


def _words(field: str, message: str) -> str:
    return f"{field}: {message}" if field else message


@cache
def _figures() -> dict[str, Any]:
    return lab_figures()


def _pairs(request: Request) -> list[tuple[str, str]]:
    """The query's pairs; a query with far too many of them is cut, and refused for the rest."""
    text = request.scope["query_string"].decode("latin-1")
    parts = text.split("&")
    pairs = parse_qsl("&".join(parts[:MOST_PARAMETERS]), keep_blank_values=True)
    if len(parts) > MOST_PARAMETERS:
        pairs.append(("query", f"more than {MOST_PARAMETERS} parameters"))
    return pairs
