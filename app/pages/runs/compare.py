"""Runs side by side: their losses and a quantity on the same axes, what they differ in, what was
found in each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.compared import (
    MOST_RUNS,
    OFFERED,
    Compared,
    Comparison,
    chosen_runs,
    compare,
)
from layerscope.app.errors import Problem
from layerscope.app.figures.compared import compared_figures
from layerscope.app.figures.found import FindingView, finding_view
from layerscope.app.figures.runs import DISPLAYS
from layerscope.app.figures.text import age, loss_text, shown, whole
from layerscope.app.pages.render import Page, render
from layerscope.app.recorded import Question, Stored, from_store, question
from layerscope.app.recorded import whole as whole_number
from layerscope.engine.store import Store

__all__ = ["PAGE", "Choice", "ComparePage", "Line", "Shown"]

NEWEST = 30
"""Runs to choose from, beside those that are chosen."""
TITLES = {"learning_rate": "Learning rate", **{name: d.title for name, d in DISPLAYS.items()}}
LAST = 10**18


@dataclass(frozen=True, slots=True)
class Choice:
    """A run that may be chosen."""

    id: str
    name: str
    words: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A run's figures: at its end and, where one is chosen, at a step."""

    letter: str
    place: int
    id: str
    name: str
    state: str
    steps: str
    loss: str
    least: str
    value: str
    verdict: str
    severity: str
    at: tuple[str, str, str] | None
    """The recorded step at or before the chosen one, its loss and its value."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is compared, where there is something."""

    comparison: Comparison
    lines: Sequence[Line]
    findings: Sequence[tuple[str, Sequence[Sequence[FindingView]]]]
    """By rule, what it found in each run."""
    title: str
    running: bool
    drawing: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ComparePage:
    """What the template receives."""

    choices: Sequence[Choice]
    quantities: Sequence[tuple[str, str]]
    question: Question
    step: int | None
    shown: Shown | None
    figures: Any
    query: str
    words: str
    """What there is to say instead of a comparison."""


router = APIRouter(include_in_schema=False)


@router.get("/compare", response_class=HTMLResponse, name="compare")
async def page(request: Request, store: Stored) -> Response:
    """The runs that the query names; without two of them what there is to choose from. To htmx
    what is told of them alone."""
    if request.state.head:
        return HTMLResponse(headers={"Cache-Control": "private, no-cache"})
    try:
        wanted = question(request, ("run", "module", "step"), OFFERED)
        found = await from_store(partial(_page, store, request, wanted))
        if found.shown and request.headers.get("hx-request") == "true":
            return await render(request, "partials/runs/compared.html", found)
        return await render(request, "pages/runs/compare.html", found)
    except Problem as problem:
        detail = str(problem.document["detail"])
        return await render(request, "pages/runs/missing.html", detail, problem.status)


def _page(store: Store, request: Request, wanted: Question) -> ComparePage:
    given = request.query_params
    ids = chosen_runs(given.getlist("run"))
    module = given.get("module")
    step = whole_number({"step": given.getlist("step") or [""]}, "step", 0, LAST)
    shown = _shown(store, ids, module, wanted, step) if len(ids) > 1 else None
    return ComparePage(
        choices=_choices(store, ids),
        quantities=[(name, TITLES[name]) for name in OFFERED],
        question=wanted,
        step=step,
        shown=shown,
        figures=None if shown is None else compared_figures([x.letter for x in shown.lines]),
        query=str(given),
        words=f"Choose two to {MOST_RUNS} runs." if len(ids) < 2 else "",
    )


def _choices(store: Store, ids: Sequence[str]) -> list[Choice]:
    newest, _ = store.runs(NEWEST)
    chosen = [store.run(each) for each in ids]
    rest = [run for run in newest if run.id not in ids]
    now = time.time()
    return [
        Choice(run.id, run.name, f"{run.state}, {whole(run.last_step or 0)} steps, loss "
               f"{loss_text(run.last_loss)}, {age(now - run.created)}", run.id in ids)
        for run in (*chosen, *rest)
    ]  # fmt: skip


def _shown(
    store: Store, ids: Sequence[str], module: str | None, wanted: Question, step: int | None
) -> Shown:
    found = compare(store, ids, module, wanted)
    display = DISPLAYS.get(wanted.quantity)
    return Shown(
        comparison=found,
        lines=[_line(place, each, step) for place, each in enumerate(found.runs)],
        findings=[
            (row.rule, [[finding_view(f) for f in own] for own in row.found])
            for row in found.findings
        ],
        title=TITLES[wanted.quantity],
        running=any(each.run.state == "running" for each in found.runs),
        drawing={
            "runs": [
                {"letter": x.letter, "steps": x.steps, "loss": x.loss, "lost": x.lost,
                 "values": x.values or [None for _ in x.steps], "faulty": x.faulty}
                for x in found.runs
            ],
            "log": display is None or display.log,
        },
    )  # fmt: skip


def _line(place: int, each: Compared, step: int | None) -> Line:
    run, values = each.run, each.values or []
    known = [v for v in values if v is not None]
    verdict = run.verdict or {}
    return Line(
        letter=each.letter, place=place + 1, id=run.id, name=run.name, state=run.state,
        steps=whole(run.last_step or 0), loss=loss_text(run.last_loss),
        least="–" if each.least is None else
        f"{loss_text(each.least[1])} at step {whole(each.least[0])}",
        value=shown(known[-1]) if known else "no such module" if each.values is None else "–",
        verdict=verdict.get("title", ""), severity=verdict.get("severity", ""),
        at=None if step is None else _at(each, step),
    )  # fmt: skip


def _at(each: Compared, step: int) -> tuple[str, str, str]:
    before = [place for place, number in enumerate(each.steps) if number <= step]
    if not before:
        return "–", "–", "–"
    place = before[-1]
    value = None if each.values is None else each.values[place]
    return whole(each.steps[place]), loss_text(each.loss[place]), shown(value)


PAGE = Page("/compare", "Compare", "Runs", router)
