"""The list of runs: what each is, how its loss went, what is wrong with it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from layerscope.app.errors import Problem, refused
from layerscope.app.figures.heads import cost_share
from layerscope.app.figures.plot import Plot, Series, plot
from layerscope.app.figures.text import age, loss_text, whole
from layerscope.app.forms import posted
from layerscope.app.pages.render import Page, address, environment, in_part, render
from layerscope.app.recorded import Stored, asked, from_store
from layerscope.engine.store import Run, Store
from layerscope.engine.training.presets import TRAINING_PRESETS

__all__ = ["PAGE", "Row", "RunsPage"]

AT_ONCE = 50
LONGEST_NAME = 200
SPARK_POINTS = 60
EXAMPLE = urlencode({
    **TRAINING_PRESETS[0].experiment.to_query(), **TRAINING_PRESETS[0].training.to_query()
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A run as the list shows it."""

    id: str
    name: str
    state: str
    steps: str
    loss: str
    age: str
    tags: tuple[str, ...]
    severity: str
    verdict: str
    spark: Plot | None
    cost: str


@dataclass(frozen=True, slots=True)
class RunsPage:
    """What the template receives. ``query`` is what names and tags were searched for."""

    rows: Sequence[Row]
    query: str
    following: str | None
    problem: str = ""
    example: str = EXAMPLE
    """The training that an empty list offers, as a query."""


router = APIRouter(include_in_schema=False)


@router.get("/runs", response_class=HTMLResponse, name="runs")
async def runs(request: Request, store: Stored) -> Response:
    """Newest first; with ``q`` those whose name or tags hold all its words."""
    if request.state.head:
        return HTMLResponse(headers={"Cache-Control": "private, no-cache"})
    try:
        given = asked(request, ("q", "before"))
        query = given.get("q", [""])[-1][:LONGEST_NAME]
        page = await from_store(partial(_page, store, query, given.get("before", [None])[-1]))
    except Problem as problem:
        page = RunsPage((), "", None, str(problem.document["detail"]))
        return await render(request, "pages/runs/list.html", page, problem.status)
    return await render(request, "pages/runs/list.html", page)


def _page(store: Store, query: str, before: str | None) -> RunsPage:
    try:
        found, following = store.runs(AT_ONCE, before)
    except ValueError as error:
        raise refused("before", str(error), before) from None
    words = query.lower().split()
    shown = [run for run in found if _has(run, words)]
    while words and following is not None and len(shown) < AT_ONCE:
        found, following = store.runs(AT_ONCE, following)
        shown += [run for run in found if _has(run, words)]
    older = None if following is None else urlencode({"q": query, "before": following})
    return RunsPage([_row(store, run) for run in shown], query, older)


def _has(run: Run, words: Sequence[str]) -> bool:
    text = " ".join((run.name, *run.tags)).lower()
    return all(word in text for word in words)


def _row(store: Store, run: Run) -> Row:
    losses = store.outline(run.id, SPARK_POINTS)
    known = [(s.number, s.loss) for s in losses if s.loss is not None]
    spark = None
    if len(known) > 1:
        steps, values = zip(*known, strict=True)
        series = Series("loss", "forward", values)
        spark = plot(steps, [series], width=120, height=28, axes=False)
    verdict = run.verdict or {}
    share = cost_share(run)
    return Row(
        id=run.id, name=run.name, state=run.state, steps=whole(run.last_step or 0),
        loss=loss_text(run.last_loss),
        age=age(time.time() - run.created), tags=tuple(run.tags),
        severity=verdict.get("severity", ""), verdict=verdict.get("title", ""), spark=spark,
        cost="–" if share is None else f"{100 * share:.1f} %",
    )  # fmt: skip


@router.post("/runs/{run}/name", name="rename_run")
async def rename(request: Request, run: str, store: Stored) -> Response:
    """From the form of a row or of the run's page."""
    name = (await _field(request, "name")).strip()
    if not name or len(name) > LONGEST_NAME:
        raise refused("name", f"expected a text of 1 to {LONGEST_NAME} characters", name)
    await from_store(partial(store.rename, run, name))
    return await _answer(request, store, run)


@router.post("/runs/{run}/tags", name="tag_run")
async def tag(request: Request, run: str, store: Stored) -> Response:
    """Tags as they are typed, between commas."""
    tags = [t.strip() for t in (await _field(request, "tags")).split(",")]
    await from_store(partial(store.tag, run, [t for t in tags if t]))
    return await _answer(request, store, run)


@router.post("/runs/{run}/delete", name="delete_run_row")
async def delete(request: Request, run: str, store: Stored) -> Response:
    """Its row says how to undo that."""
    await from_store(partial(store.delete, run))
    return await _answer(request, store, run, gone=True)


@router.post("/runs/{run}/undelete", name="restore_run_row")
async def undelete(request: Request, run: str, store: Stored) -> Response:
    """Undoes it."""
    await from_store(partial(store.restore, run))
    return await _answer(request, store, run)


async def _field(request: Request, name: str) -> str:
    return dict(await posted(request)).get(name, "")


async def _answer(request: Request, store: Store, run: str, *, gone: bool = False) -> Response:
    """The row anew for htmx, the list for a browser without scripts."""
    if not in_part(request):
        return RedirectResponse(address(request, "runs"), 303)
    row = await from_store(lambda: _row(store, store.run(run)))
    template = environment.get_template("partials/runs/row.html")
    html = await template.render_async(row=row, gone=gone, address=partial(address, request))
    return HTMLResponse(html, headers={"Cache-Control": "no-store"})


PAGE = Page("/runs", "Runs", "Runs", router)
