"""The race's page: the table that fills as variants finish, its charts, the source of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.compute import Compute, while_connected
from layerscope.app.errors import Problem
from layerscope.app.figures.matmul import matmul_figures
from layerscope.app.forms import Form
from layerscope.app.foundations.matmul import STEP, RaceForm, race_events
from layerscope.app.pages.foundations.step import answered, step_page
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.text import bytes_text, number_text, time_text
from layerscope.engine.foundations.matmul import (
    MATMULS,
    NOTES_SHAPE,
    NOTES_TABLE,
    NotesTime,
    RaceResult,
)
from layerscope.engine.foundations.matmul.base import MatmulVariant

__all__ = ["Row", "View", "router"]

RUN = ("run", "true")
"""What a browser without JavaScript adds to have the race run before the page is sent."""


@dataclass(frozen=True, slots=True)
class Row:
    """One variant of the table; its results are filled in as they come."""

    variant: MatmulVariant
    extra: str
    notes: NotesTime | None
    notes_time: str
    notes_speedup: str
    result: Mapping[str, Any] | None
    """Of a race that was run before the page was sent."""


@dataclass(frozen=True, slots=True)
class View:
    """What the template draws."""

    rows: Sequence[Row]
    figures: Mapping[str, Any]
    notes: Mapping[str, Any]
    """By variant the notes' seconds; drawn when the shapes are the notes'."""
    same_shape: bool
    flops: str
    ran: bool


router = APIRouter(include_in_schema=False)


@router.get("/foundations/matmul", response_class=HTMLResponse, name=STEP.route)
async def show(request: Request) -> Response:
    """The table for the race of the query string; run only where ``run=true`` asks for it."""
    pairs = request.query_params.multi_items()
    form = Form.read(RaceForm, [pair for pair in pairs if pair != RUN])
    if form.value is None:
        return await answered(request, step_page(request, STEP, form), 422)
    asked, run = form.value, RUN in pairs and not request.state.head
    try:
        results = await _raced(request, asked) if run else {}
    except Problem as busy:
        page = step_page(request, STEP, form.refused(str(busy)))
        return await answered(request, page, busy.status)
    page = step_page(request, STEP, form, asked, _view(asked, results))
    return await answered(request, page)


async def _raced(request: Request, asked: RaceForm) -> dict[str, Mapping[str, Any]]:
    compute: Compute = request.app.state.compute
    compute.lane.admit()
    raced = await while_connected(request, compute.run(partial(_race, asked), compute.lane))
    return {event.variant: event.to_dict() for event in raced if isinstance(event, RaceResult)}


def _race(asked: RaceForm, should_stop: ShouldStop) -> list[Any]:
    return list(race_events(asked, should_stop))


def _view(asked: RaceForm, results: Mapping[str, Mapping[str, Any]]) -> View:
    m, k, n = asked.m, asked.k, asked.n
    notes = {row.variant: row for row in NOTES_TABLE}
    rows = [
        Row(
            variant=MATMULS[name],
            extra=bytes_text(MATMULS[name].extra_bytes(m, k, n)),
            notes=notes.get(name),
            notes_time=time_text(notes[name].seconds) if name in notes else "",
            notes_speedup=f"{number_text(NOTES_TABLE[0].seconds / notes[name].seconds)} ×"
            if name in notes
            else "",
            result=results.get(name),
        )
        for name in asked.variants
    ]
    same = (m, k, n) == NOTES_SHAPE
    return View(
        rows=rows,
        figures=matmul_figures(),
        notes={name: row.to_dict() for name, row in notes.items()},
        same_shape=same,
        flops=number_text(2 * m * k * n),
        ran=bool(results),
    )
