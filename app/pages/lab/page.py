"""The Lab: one experiment, its controls, its signal, its charts; streamed as it is computed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.batches import Batches
from layerscope.app.compute import Compute, while_connected
from layerscope.app.errors import Problem
from layerscope.app.figures.lab import lab_figures
from layerscope.app.forms import Control
from layerscope.app.pages.controls import experiment_controls
from layerscope.app.pages.lab import cold, links
from layerscope.app.pages.lab.captions import FRAMES, Frame, intro
from layerscope.app.pages.lab.inspector import FIGURES, Inspected
from layerscope.app.pages.lab.look import Look
from layerscope.app.pages.lab.progress import Progress
from layerscope.app.pages.lab.verdict import VerdictWords
from layerscope.app.pages.render import FLUSH, SEND, Page, address, flushed, render, stream
from layerscope.app.results import events, is_quick, planned
from layerscope.app.streams import GrowingResponse
from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.execution.cost import Limits, OverLimit
from layerscope.engine.execution.layer_tensors import tensors_cost
from layerscope.engine.experiment.specification import Experiment

__all__ = ["PAGE", "LabPage", "Pairs"]

Pairs = Sequence[tuple[str, str]]
TEMPLATE = "pages/lab.html"
UNREACHABLE = VerdictWords(
    "error", "No result", "The server can't be reached. Change a control to try again."
)


@dataclass(frozen=True)
class LabPage:
    """What the Lab's template receives; what is called waits for the computation."""

    intro: str
    """The network in a sentence, for who sees it for the first time."""
    dares: Sequence[links.Dare]
    presets: Sequence[links.PresetLink]
    controls: Sequence[Control]
    refusal: str
    elsewhere: links.Elsewhere
    strip: AsyncIterator[cold.Row] | Sequence[cold.Row]
    verdict: Callable[[], Awaitable[VerdictWords]]
    with_fixes: Callable[[], Awaitable[VerdictWords]]
    known: Callable[[], Progress | None]
    """Once the strip is there; None without a result."""
    inspected: Callable[[], Awaitable[Inspected | None]]
    """The layer that is worth a look; None where no tensor can be shown, or not in time."""
    worth: Callable[[], int]
    """Its number, of which the scripts ask for what was not in time; 0 without a result."""
    late: Callable[[], AsyncIterator[Progress]]
    columns: Sequence[str] = FIGURES
    charts: Sequence[Frame] = FRAMES
    which: Sequence[tuple[str, str]] = tuple((frame.name, frame.title) for frame in FRAMES)
    """The charts as a choice: a projector shows one at a time."""
    figures: Mapping[str, Any] = field(default_factory=lab_figures)
    unreachable: VerdictWords = UNREACHABLE
    flush: str = ""
    send: str = ""

    @property
    def shows_rare(self) -> bool:
        """Whether a control that is seldom asked for says something."""
        return any(c.rare and (c.error or c.value != c.default) for c in self.controls)


router = APIRouter(include_in_schema=False)
PAGE = Page("/", "Lab", "Lab", router, True)


@router.get("/", response_class=HTMLResponse)
async def lab(request: Request) -> Response:
    """The Lab for the experiment in the query string, or the form with what is wrong with it."""
    pairs = request.query_params.multi_items()
    try:
        experiment = Experiment.from_strings(pairs)
        plan = planned(experiment, request.app.state.settings)
        if request.state.head:
            return HTMLResponse(headers={"Cache-Control": "private, no-cache"})
        presets = await links.preset_links(request, experiment)  # before a place is taken
        work = partial(events, experiment, plan.left_out)
        compute: Compute = request.app.state.compute
        running: Batches[Any] = Batches(compute, work, quick=plan.quick)
        await while_connected(request, running.started())
    except (InvalidParameters, OverLimit, Problem) as refusal:
        return await _refused(request, pairs, refusal)
    try:
        page = _accepted(request, pairs, experiment, presets, running)
        return GrowingResponse(flushed(stream(request, TEMPLATE, page)), running)
    except BaseException:  # the page could not be begun: nothing else would stop the work
        running.stop()
        raise


def _accepted(
    request: Request, pairs: Pairs, experiment: Experiment, presets: Sequence[links.PresetLink],
    running: Batches[Any],
) -> LabPage:  # fmt: skip
    progress = Progress(experiment, address(request, "lab"))
    writing = cold.Writing(running, progress)
    return LabPage(
        intro=intro(experiment),
        dares=links.dares(request),
        presets=presets,
        controls=list(experiment_controls(dict(pairs), {}).values()),
        refusal="",
        elsewhere=links.elsewhere(request, experiment),
        strip=writing.rows(),
        verdict=writing.verdict,
        with_fixes=writing.with_fixes,
        known=lambda: progress if progress.summary else None,
        inspected=partial(_inspected, request, progress),
        worth=lambda: Look("").of(progress) if progress.summary else 0,
        late=writing.late,
        flush=FLUSH,
        send=SEND,
    )


async def _inspected(request: Request, progress: Progress) -> Inspected | None:
    limits: Limits = request.app.state.settings.limits
    compute: Compute = request.app.state.compute
    experiment, look = progress.experiment, Look(address(request, "tensor"))
    needed = tensors_cost(experiment)
    if progress.summary is None or not limits.allow(needed):
        return None
    try:
        work = partial(look.at, experiment, look.of(progress))
        async with asyncio.timeout(cold.PATIENCE_SECONDS):  # the fixes may hold the only place
            return await compute.run(work, quick=is_quick(needed.flops))
    except (Problem, Stopped, TimeoutError):  # the page has everything else
        return None


async def _refused(request: Request, pairs: Pairs, refusal: Exception) -> HTMLResponse:
    general = [{"field": "", "message": str(refusal)}]  # an error of no one control
    errors = refusal.errors if isinstance(refusal, InvalidParameters) else general
    status = refusal.status if isinstance(refusal, Problem) else 422
    messages = {e["field"]: e["message"] for e in errors}
    words = "; ".join(_words(e["field"], e["message"]) for e in errors)
    others = [_words(f, m) for f, m in messages.items() if f not in Experiment.model_fields]

    async def nothing() -> VerdictWords:
        return VerdictWords("error", "Nothing was run", words)

    async def no_layer() -> None:
        return None

    async def never() -> AsyncIterator[Progress]:
        return
        yield

    page = LabPage(
        intro="",
        dares=links.dares(request),
        presets=await links.preset_links(request, None),
        controls=list(experiment_controls(dict(pairs), messages).values()),
        refusal="; ".join(others),
        elsewhere=links.elsewhere(request, None),
        strip=(),
        verdict=nothing,
        with_fixes=nothing,
        known=lambda: None,
        inspected=no_layer,
        worth=lambda: 0,
        late=never,
    )
    return await render(request, TEMPLATE, page, status)


def _words(field: str, message: str) -> str:
    return f"{field}: {message}" if field else message
