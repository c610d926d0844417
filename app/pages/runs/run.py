"""A run: its modules over its steps as one picture, the loss above it, findings, and a module."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.compute import Compute
from layerscope.app.errors import Problem
from layerscope.app.figures.runs import DISPLAYS, run_figures
from layerscope.app.figures.text import number, whole
from layerscope.app.pages.render import address, context, environment, render
from layerscope.app.pages.runs.listing import age, cost_share
from layerscope.app.pages.runs.module import ModuleView, known_facts, module_view
from layerscope.app.recorded import (
    Follower,
    Question,
    Stored,
    from_store,
    question,
)
from layerscope.app.recorded import whole as whole_number
from layerscope.app.streams import EventStream, Wire
from layerscope.app.templating import templates
from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.series import column, history, recorded
from layerscope.engine.store import Following, Run, Store
from layerscope.engine.store import Step as StoredStep

__all__ = ["FindingView", "Head", "RunPage", "drawing", "router"]

LOOK = ("module", "step")
"""What the page's query says beside the question."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of the run as a whole."""

    id: str
    name: str
    state: str
    facts: Sequence[tuple[str, str]]
    tags: str


@dataclass(frozen=True, slots=True)
class FindingView:
    """A finding of the list."""

    severity: str
    title: str
    explanation: str
    modules: str
    since: int | None
    rule: str
    evidence: Sequence[tuple[str, str]]
    fix: str


@dataclass(frozen=True, slots=True)
class RunPage:
    """What the template receives."""

    head: Head
    findings: Sequence[FindingView]
    question: Question
    displays: Sequence[tuple[str, str]]
    display: Any
    drawing: dict[str, Any]
    module: ModuleView | None
    modules: Sequence[str]
    figures: Any
    query: str


router = APIRouter(include_in_schema=False)


@router.get("/runs/{run}", response_class=HTMLResponse, name="run_page")
async def run_page(request: Request, run: str, store: Stored) -> Response:
    """The run as it is now; js/runs/main.js follows it from there."""
    if request.state.head:
        return HTMLResponse(headers={"Cache-Control": "private, no-cache"})
    wanted, module, step = _look(request)
    try:
        page = await from_store(partial(_page, store, run, wanted, module, step))
    except Problem as problem:
        if problem.status not in (404, 503):
            raise
        detail = str(problem.document["detail"])
        return await render(request, "pages/runs/missing.html", detail, problem.status)
    return await render(request, "pages/runs/run.html", page)


def _look(request: Request) -> tuple[Question, str | None, int | None]:
    wanted = question(request, LOOK)
    if wanted.quantity not in DISPLAYS:
        wanted = Question("std", wanted.modules, wanted.start, wanted.stop, wanted.points)
    given: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        given.setdefault(name, []).append(value)
    return wanted, given.get("module", [None])[-1], whole_number(given, "step", 0, 10**18)


def _page(
    store: Store, run: str, wanted: Question, module: str | None, step: int | None
) -> RunPage:
    found, facts, findings = store.run(run), known_facts(store, run), store.findings(run)
    names = [f.name for f in facts]
    chosen = next((f for f in facts if f.name == module), None)
    query = [("quantity", wanted.quantity)]
    return RunPage(
        head=_head(found, len(facts)),
        findings=[_finding(f) for f in findings],
        question=wanted,
        displays=[(name, d.title) for name, d in DISPLAYS.items()],
        display=DISPLAYS[wanted.quantity],
        drawing=drawing(store, found, facts, findings, wanted),
        module=None if chosen is None else module_view(store, run, facts, chosen, step),
        modules=names,
        figures=run_figures(),
        query=urlencode(query),
    )


def drawing(
    store: Store, run: Run, facts: Sequence[Facts], findings: Sequence[Any], wanted: Question
) -> dict[str, Any]:
    """The picture's numbers: a column a step, of which the charts are drawn, and where to follow
    the run from."""
    steps = store.steps(run.id, wanted.start, wanted.stop, points=wanted.points)
    values = history(wanted.quantity, steps, facts).values
    centre = DISPLAYS[wanted.quantity].centre
    return {
        "quantity": wanted.quantity,
        "modules": [f.name for f in facts],
        "centre": centre(v for row in values for v in row) if centre else None,
        "after": run.sequence,
        "marks": _marks(findings),
        **_columns(steps, facts, wanted.quantity),
    }


def _marks(findings: Sequence[Any]) -> list[list[Any]]:
    return [
        [f["since"], f.get("severity", "info"), f.get("title", "")]
        for f in findings
        if isinstance(f.get("since"), int)
    ]


def _columns(steps: Sequence[StoredStep], facts: Sequence[Facts], quantity: str) -> dict[str, Any]:
    """``faults`` has, for each step, the places of the modules with entries that are not finite."""
    read = [recorded(step) for step in steps]
    return {
        "steps": [step.number for step in steps],
        "loss": [step.loss for step in steps],
        "lost": [(step.loss is not None and abs(step.loss) in (float("inf"),)) or step.loss !=
                 step.loss for step in steps],
        "columns": [column(quantity, step, facts) for step in read],
        "faults": [
            [i for i, count in enumerate(column("nonfinite", step, facts)) if count]
            for step in read
        ],
    }  # fmt: skip


def _head(run: Run, modules: int) -> Head:
    share = cost_share(run)
    loss = "not finite" if run.last_loss != run.last_loss else number(run.last_loss)
    facts = [
        ("state", run.state), ("last step", whole(run.last_step or 0)),
        ("recorded", f"{whole(run.steps)} steps"), ("loss", loss),
        ("modules", str(modules)), ("begun", age(time.time() - run.created)),
    ]  # fmt: skip
    if share is not None:
        facts.append(("probe's cost", f"{100 * share:.1f} % of step time"))
    facts += [(str(k), str(v)[:120]) for k, v in list(run.config.items())[:12]]
    return Head(run.id, run.name, run.state, facts, ", ".join(run.tags))


def _finding(found: dict[str, Any]) -> FindingView:
    evidence = found.get("evidence") or {}
    names = list(found.get("modules") or ())
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return FindingView(
        severity=str(found.get("severity", "info")), title=str(found.get("title", "")),
        explanation=str(found.get("explanation", "")), modules=shown, since=found.get("since"),
        rule=str(found.get("rule", "")),
        evidence=[(str(k).replace("_", " "), _figure(v)) for k, v in evidence.items()
                  if not isinstance(v, dict | list)],
        fix=_fix(found.get("fix")),
    )  # fmt: skip


def _figure(value: Any) -> str:
    return number(value) if isinstance(value, int | float) else str(value)


def _fix(fix: Any) -> str:
    if isinstance(fix, dict):
        return str(fix.get("code") or ", ".join(f"{k} = {v}" for k, v in fix.items()))
    return str(fix or "")


@router.get("/runs/{run}/follow", name="follow_run_page")
async def follow(request: Request, run: str, store: Stored) -> Response:
    """The page's own stream: ``start`` with the picture as it is, ``columns`` as steps come, and
    the head and the findings as HTML."""
    if request.state.head:
        return Response(headers={"Cache-Control": "no-store"}, media_type="text/event-stream")
    compute: Compute = request.app.state.compute
    wanted, _, _ = _look(request)
    found, facts, findings = await from_store(
        lambda: (store.run(run), store.facts(run), store.findings(run))
    )
    start = await from_store(partial(drawing, store, found, facts, findings, wanted))
    teller = _Teller(wanted, facts, start, address(request, "why_diagnosis"))
    follower = Follower(store, run, found.sequence, teller.told, lambda: compute.closed)
    return EventStream(follower)


class _Teller:
    """What the page is sent of each piece of a run."""

    def __init__(
        self, wanted: Question, facts: list[Facts], start: dict[str, Any], rules: str
    ) -> None:
        self._wanted, self._facts, self._start = wanted, facts, start
        self._rules = rules
        self._first = True

    def told(self, came: Following) -> list[Wire]:
        out: list[Wire] = []
        if self._first:
            self._first = False
            out.append(("start", _text(self._start)))
        if came.modules is not None:
            self._facts = came.modules
            out.append(("modules", _text([f.name for f in self._facts])))
        stop = self._wanted.stop
        steps = [s for s in came.steps if stop is None or s.number < stop]
        if steps:
            columns = _columns(steps, self._facts, self._wanted.quantity)
            out.append(("columns", _text(columns)))
        if came.findings is not None:
            out.append(("marks", _text(_marks(came.findings))))
        views = None if came.findings is None else [_finding(f) for f in came.findings]
        template = templates.env.get_template("partials/runs/news.html")
        head = _head(came.run, len(self._facts))
        out.append(("", template.render(head=head, findings=views, rules=self._rules)))
        return out


@router.get("/runs/{run}/module", response_class=HTMLResponse, name="run_module")
async def module(request: Request, run: str, store: Stored) -> Response:
    """A module's history and its figures at a step, for htmx."""
    if request.state.head:
        return HTMLResponse(headers={"Cache-Control": "no-store"})
    _, name, step = _look(request)

    def read() -> ModuleView:
        facts = known_facts(store, run)
        chosen = next((f for f in facts if f.name == name), None)
        if chosen is None:
            raise KeyError(f"there is no module {name!r} in this run")
        return module_view(store, run, facts, chosen, step)

    view = await from_store(read)
    template = environment.get_template("partials/runs/module.html")
    html = await template.render_async({**context(request, None), "module": view})
    return HTMLResponse(html, headers={"Cache-Control": "no-store"})


def _text(value: object) -> str:
    return orjson.dumps(value).decode()
