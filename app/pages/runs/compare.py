"""Runs side by side: their losses and a quantity on the same axes, what they differ in, what was
found in each."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.compared import (
    MOST_RUNS,
    OFFERED,
    Compared,
    Comparison,
    chosen_runs,
    compare,
    stands,
)
from layerscope.app.configs import Setting, cut
from layerscope.app.errors import Problem
from layerscope.app.figures.compared import compared_figures
from layerscope.app.figures.found import FindingView, finding_view
from layerscope.app.figures.runs import DISPLAYS
from layerscope.app.figures.text import age, loss_text, shown, whole
from layerscope.app.pages.render import Page, in_part, render_either, render_shared, shared
from layerscope.app.recorded import LAST_STEP, SPAN, Question, Stored, from_store, named, question
from layerscope.app.recorded import whole as whole_number
from layerscope.engine.store import Store

__all__ = ["PAGE", "Choice", "ComparePage", "Line", "Shown"]

NEWEST = 30
"""Runs to choose from, beside those that are chosen."""
TITLES = {"learning_rate": "Learning rate", **{name: d.title for name, d in DISPLAYS.items()}}
LOOK = ("run", "quantity", "module", *SPAN, "step")
"""What the page's query may say."""
KNOWN = "known"
"""Beside it, of who asks again: where the runs stood when he asked before."""
WHOLE, PART = "pages/runs/compare.html", "partials/runs/compared.html"
CONTROLS = ("quantity", "module", "from", "to", "step")
"""Names with a control of their own, beside which a message stands."""


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
    modules: str
    loss: str
    least: str
    value: str
    verdict: str
    severity: str
    at: tuple[str, str, str] | None
    """The recorded step nearest to the chosen one, its loss and its value."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is compared, where there is something."""

    comparison: Comparison
    lines: Sequence[Line]
    settings: Sequence[tuple[Setting, Sequence[str | None]]]
    """With each run's text, cut to what a table has room for."""
    findings: Sequence[tuple[str, Sequence[Sequence[FindingView]]]]
    """By rule, what it found in each run."""
    title: str
    heading: str
    """Of the chart: what is drawn, of which module."""
    step: int | None
    running: bool
    drawing: dict[str, Any]
    again: str
    """The query to ask with whether there is more."""
    twin: str
    """The query of the same as JSON."""


@dataclass(frozen=True, slots=True)
class ComparePage:
    """What the template receives. ``typed`` and ``messages`` are by the query's names; a message
    stands for a value that was not heeded."""

    choices: Sequence[Choice]
    quantities: Sequence[tuple[str, str]]
    quantity: str
    typed: Mapping[str, str]
    messages: Mapping[str, str]
    general: str
    shown: Shown | None
    figures: Any
    words: str
    """What there is to say instead of a comparison."""


router = APIRouter(include_in_schema=False)


@router.get("/compare", response_class=HTMLResponse, name="compare")
async def page(request: Request, store: Stored) -> Response:
    """The runs that the query names; without two of them what there is to choose from. To htmx
    what is told of them alone, nothing where nothing is new, and a refusal as a problem."""
    if request.state.head:
        return HTMLResponse(headers=shared(request))
    if in_part(request):
        return await _part(request, store)
    try:
        found = await _heeded(request, store)
    except Problem as problem:
        detail = str(problem.document["detail"])
        return await render_shared(request, "pages/runs/missing.html", detail, problem.status)
    return await render_either(request, WHOLE, PART, found, 422 if found.messages else 200)


async def _heeded(request: Request, store: Store) -> ComparePage:
    """The page of what can be heeded of the query, with a message for each value that can't.

    Errors: ``Problem`` that is about none of them.
    """
    pairs, messages = request.query_params.multi_items(), dict[str, str]()
    while True:
        try:
            found = await from_store(partial(_page, store, pairs, messages))
        except Problem as problem:
            wrong = {e["field"]: e["message"] for e in problem.document.get("errors", ())}
            left = [(name, value) for name, value in pairs if name not in wrong]
            if len(left) == len(pairs):
                raise
            pairs, messages = left, {**messages, **wrong}
        else:
            refused = {n: v for n, v in request.query_params.items() if n in messages}
            return replace(found, typed={**found.typed, **refused})


async def _part(request: Request, store: Store) -> Response:
    """Errors: ``Problem``, for js/compare/main.js to put beside the controls."""
    pairs = request.query_params.multi_items()
    given = named(pairs, (*LOOK, KNOWN))
    known = given.get(KNOWN, [""])[-1]
    ids = chosen_runs(given.get("run", ()))
    if known and known == await from_store(partial(stands, store, ids)):
        return Response(status_code=204, headers=shared(request))
    look = [(name, value) for name, value in pairs if name != KNOWN]
    found = await from_store(partial(_page, store, look, {}))
    return await render_either(request, WHOLE, PART if found.shown else WHOLE, found)


def _page(
    store: Store, pairs: Sequence[tuple[str, str]], messages: Mapping[str, str]
) -> ComparePage:  # fmt: skip
    given = named(pairs, LOOK)
    wanted = question(given, OFFERED)
    ids = chosen_runs(given.get("run", ()))
    module = given.get("module", [None])[-1]
    step = whole_number(given, "step", 0, LAST_STEP)
    shown = _shown(store, ids, module, wanted, step, pairs) if len(ids) > 1 else None
    return ComparePage(
        choices=_choices(store, ids),
        quantities=[(name, TITLES[name]) for name in OFFERED],
        quantity=wanted.quantity,
        typed={name: values[-1] for name, values in given.items()},
        messages=messages,
        general="; ".join(
            f"{name}: {text}" for name, text in messages.items() if name not in CONTROLS
        ),
        shown=shown,
        figures=None if shown is None else compared_figures([x.letter for x in shown.lines]),
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
    store: Store, ids: Sequence[str], module: str | None, wanted: Question, step: int | None,
    pairs: Sequence[tuple[str, str]],
) -> Shown:  # fmt: skip
    stood = stands(store, ids)  # before: what comes meanwhile is asked for again
    found = compare(store, ids, module, wanted, step)
    display, title = DISPLAYS.get(wanted.quantity), TITLES[wanted.quantity]
    drawn = f"|{title}|" if display and display.signed else title
    told = [(name, value) for name, value in pairs if value or name == "module"]
    return Shown(
        comparison=found,
        lines=[_line(place, each) for place, each in enumerate(found.runs)],
        settings=[(each, cut(each.texts)) for each in found.settings],
        findings=[
            (row.rule, [[finding_view(f) for f in own] for own in row.found])
            for row in found.findings
        ],
        title=title,
        heading=drawn if found.module is None else f"{drawn} of {found.module or 'the whole'}",
        step=step,
        running=any(each.run.state == "running" for each in found.runs),
        drawing={
            "runs": [
                {"letter": x.letter, "steps": x.steps, "loss": x.loss, "lost": x.lost,
                 "values": x.values or [None for _ in x.steps], "faulty": x.faulty}
                for x in found.runs
            ],
            "log": display is None or display.log,
        },
        again=urlencode([*told, (KNOWN, stood)]),
        twin=urlencode([(name, value) for name, value in told if name != "step"]),
    )  # fmt: skip


def _line(place: int, each: Compared) -> Line:
    run, values, at = each.run, each.values or [], each.at
    known = [v for v in values if v is not None]
    verdict = run.verdict or {}
    return Line(
        letter=each.letter, place=place + 1, id=run.id, name=run.name, state=run.state,
        steps=whole(run.last_step or 0), modules=whole(each.modules),
        loss=loss_text(run.last_loss),
        least="–" if each.least is None else
        f"{loss_text(each.least[1])} at step {whole(each.least[0])}",
        value=shown(known[-1]) if known else "no such module" if each.values is None else "–",
        verdict=verdict.get("title", ""), severity=verdict.get("severity", ""),
        at=None if at is None else (whole(at.step), loss_text(at.loss), shown(at.value)),
    )  # fmt: skip


PAGE = Page("/compare", "Compare", "Runs", router)
