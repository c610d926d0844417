"""A run: its modules over its steps as one picture, the loss above it, findings, and a module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.compute import Compute
from layerscope.app.encoding import json_text
from layerscope.app.errors import Problem, refused
from layerscope.app.figures.found import FindingView, finding_view
from layerscope.app.figures.heads import Head, head
from layerscope.app.figures.runs import DISPLAYS, ROWS, Display, run_figures
from layerscope.app.figures.signal import Signal
from layerscope.app.pages.render import address, context, environment, render
from layerscope.app.pages.runs.module import ModuleView, module_view
from layerscope.app.pages.runs.signal import signal_at
from layerscope.app.pages.runs.train import Bar, bar_of
from layerscope.app.pictures import columns, drawing, marks
from layerscope.app.recorded import (
    LAST_STEP,
    SPAN,
    Follower,
    Question,
    RunId,
    Stored,
    asked,
    from_store,
    known_facts,
    question,
)
from layerscope.app.recorded import whole as whole_number
from layerscope.app.streams import EventStream, Wire
from layerscope.app.templating import templates
from layerscope.app.trainings import Trainings
from layerscope.engine.execution.records import Facts
from layerscope.engine.store import Following, Store
from layerscope.engine.training.folder import TrainingFolder

__all__ = ["RunPage", "router"]

LOOK = ("quantity", *SPAN, "rows", "module", "step", "tensor", "after")
"""What the page's query may say."""


@dataclass(frozen=True, slots=True)
class RunPage:
    """What the template receives."""

    head: Head
    findings: Sequence[FindingView]
    question: Question
    rows: str
    arrangements: Mapping[str, str]
    displays: Sequence[tuple[str, str]]
    display: Display
    drawing: dict[str, Any]
    signal: Signal
    """At the step that is looked at."""
    module: ModuleView | None
    modules: Sequence[str]
    figures: Any
    query: str
    bar: Bar | None
    """Where it is a training of ours."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What is looked at: the picture's question, a module at a step, and what is known already."""

    question: Question
    rows: str
    module: str | None
    step: int | None
    tensor: str | None
    """Of the module, whose histograms are shown."""
    after: int | None


router = APIRouter(include_in_schema=False)


@router.get("/runs/{run}", response_class=HTMLResponse, name="run_page")
async def run_page(request: Request, run: RunId, store: Stored) -> Response:
    """The run as it is now; js/runs/main.js follows it from there."""
    if request.state.head:
        return HTMLResponse(headers={"Cache-Control": "private, no-cache"})
    try:
        trainings: Trainings = request.app.state.trainings
        bar = partial(bar_of, request, trainings, run)
        folder = trainings.folder(run)
        page = await from_store(partial(_page, store, run, _look(request), bar, folder))
    except Problem as problem:
        detail = str(problem.document["detail"])
        return await render(request, "pages/runs/missing.html", detail, problem.status)
    return await render(request, "pages/runs/run.html", page)


def _look(request: Request) -> _Look:
    given = asked(request, LOOK)
    step, after = (whole_number(given, name, 0, LAST_STEP) for name in ("step", "after"))
    rows = given.get("rows", ["blocks"])[-1]
    if rows not in ROWS:
        raise refused("rows", f"expected one of {', '.join(ROWS)}", rows)
    module, tensor = (given.get(name, [None])[-1] for name in ("module", "tensor"))
    return _Look(question(given, DISPLAYS), rows, module, step, tensor, after)


def _page(
    store: Store, run: str, look: _Look, bar: Callable[[], Bar | None], folder: TrainingFolder
) -> RunPage:  # fmt: skip
    found, facts, findings = store.run(run), known_facts(store, run), store.findings(run)
    chosen = next((f for f in facts if f.name == look.module), None)
    wanted = look.question
    return RunPage(
        head=head(found, len(facts)),
        findings=[finding_view(f) for f in findings],
        question=wanted,
        rows=look.rows,
        arrangements=ROWS,
        displays=[(name, d.title) for name, d in DISPLAYS.items()],
        display=DISPLAYS[wanted.quantity],
        drawing=drawing(store, found, facts, findings, wanted),
        signal=signal_at(store, run, facts, look.step),
        module=None
        if chosen is None
        else module_view(store, run, facts, chosen, look.step, look.tensor, ours=folder.exists),
        modules=[f.name for f in facts],
        figures=run_figures(),
        query=urlencode({"quantity": wanted.quantity}),
        bar=bar(),
    )


@router.get("/runs/{run}/follow", name="follow_run_page")
async def follow(request: Request, run: RunId, store: Stored) -> Response:
    """The page's own stream: ``start`` with the picture as it is, unless the page has it up to
    entry ``after``; then ``columns`` as steps come, the head and the findings as HTML."""
    if request.state.head:
        return Response(headers={"Cache-Control": "no-store"}, media_type="text/event-stream")
    compute: Compute = request.app.state.compute
    look = _look(request)
    bar = partial(bar_of, request, request.app.state.trainings, run)
    teller, after = await from_store(
        partial(_teller, store, run, look, address(request, "why_diagnosis"), bar)
    )
    return EventStream(Follower(store, run, after, teller.told, lambda: compute.closed))


def _teller(
    store: Store, run: str, look: _Look, rules: str, bar: Callable[[], Bar | None]
) -> tuple[_Teller, int]:
    found, facts = store.run(run), store.facts(run)
    if look.after is not None:
        return _Teller(look.question, facts, None, rules, bar), look.after
    start = drawing(store, found, facts, store.findings(run), look.question)
    return _Teller(look.question, facts, start, rules, bar), found.sequence


class _Teller:
    """What the page is sent of each piece of a run; ``start``, where there is one, before all."""

    def __init__(
        self, wanted: Question, facts: list[Facts], start: dict[str, Any] | None, rules: str,
        bar: Callable[[], Bar | None],
    ) -> None:  # fmt: skip
        self._wanted, self._facts, self._start, self._rules = wanted, facts, start, rules
        self._bar, self._buttons = bar, ""

    def told(self, came: Following) -> list[Wire]:
        out: list[Wire] = []
        start, self._start = self._start, None
        if start is not None:
            out.append(("start", json_text(start)))
        if came.modules is not None:
            self._facts = came.modules
            out.append(("modules", json_text([f.name for f in self._facts])))
        wanted = self._wanted
        steps = [
            s
            for s in came.steps
            if (wanted.start is None or s.number >= wanted.start)
            and (wanted.stop is None or s.number < wanted.stop)
        ]
        if steps:
            out.append(("columns", json_text(columns(steps, self._facts, wanted.quantity))))
        if came.findings is not None:
            out.append(("marks", json_text(marks(came.findings))))
        template = templates.env.get_template("partials/runs/news.html")
        html = template.render(
            head=head(came.run, len(self._facts)),
            display=None if start is None else DISPLAYS[wanted.quantity],
            findings=None if came.findings is None else [finding_view(f) for f in came.findings],
            rules=self._rules,
        )
        return [*out, ("", html), *self._new_buttons()]

    def _new_buttons(self) -> list[Wire]:
        """Those of a training of ours, where they have changed."""
        bar = self._bar()
        if bar is None:
            return []
        html = templates.env.get_template("partials/runs/buttons.html").render(bar=bar, new=True)
        before, self._buttons = self._buttons, html
        return [] if html == before else [("", html)]


@router.get("/runs/{run}/module", response_class=HTMLResponse, name="run_module")
async def module(request: Request, run: RunId, store: Stored) -> Response:
    """A module's history and its figures at a step, for htmx."""
    if request.state.head:
        return HTMLResponse(headers={"Cache-Control": "no-store"})
    look = _look(request)
    trainings: Trainings = request.app.state.trainings
    view = await from_store(partial(_module, store, run, look, trainings.folder(run)))
    template = environment.get_template("partials/runs/module.html")
    html = await template.render_async({**context(request, None), "module": view})
    return HTMLResponse(html, headers={"Cache-Control": "no-store"})


def _module(store: Store, run: str, look: _Look, folder: TrainingFolder) -> ModuleView:
    facts = known_facts(store, run)
    chosen = next((f for f in facts if f.name == look.module), None)
    if chosen is None:
        detail = f"Run {run} has no module {look.module!r}."
        raise Problem(404, detail, kind="no-such-module", title="No such module")
    return module_view(store, run, facts, chosen, look.step, look.tensor, ours=folder.exists)
