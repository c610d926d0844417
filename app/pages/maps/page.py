"""The page of maps: a form, the picture with its progress, its numbers; the address is the map."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from layerscope.app.compute import Compute
from layerscope.app.encoding import json_text
from layerscope.app.errors import Problem, refused
from layerscope.app.figures.maps import display, map_figure
from layerscope.app.figures.text import number, whole
from layerscope.app.forms import Control, controls, posted
from layerscope.app.mapped import (
    ChartingMaps,
    MapFollower,
    MapId,
    cell_json,
    read_grid,
    seconds_left,
)  # fmt: skip
from layerscope.app.pages.controls import experiment_controls
from layerscope.app.pages.maps.query import Axes, MapQuery, query_of
from layerscope.app.pages.render import (
    Page,
    address,
    context,
    environment,
    in_part,
    render_either,
)
from layerscope.app.recorded import LAST_STEP, from_store
from layerscope.app.recorded import whole as whole_number
from layerscope.app.streams import EventStream, Wire
from layerscope.app.templating import templates
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.basis.specification import bounds, presentation, text_of
from layerscope.engine.execution.cost import OverLimit
from layerscope.engine.experiment import Experiment
from layerscope.engine.maps.axes import RECORDING, is_number, parameters
from layerscope.engine.maps.grid import Grid
from layerscope.engine.maps.kept import KeptMap
from layerscope.engine.maps.outcomes import OUTCOMES
from layerscope.engine.maps.plane import Plane
from layerscope.engine.maps.presets import PRESETS
from layerscope.engine.training import Training

__all__ = ["PAGE", "MapsPage", "PresetForm", "Progress", "TableView"]

MOST_TABLE = 2500
"""Cells up to which the page has a table of them; a larger map has its CSV."""
MOST_END = 100.0
"""Where an axis ends to begin with, of a parameter without a slider."""

router = APIRouter(include_in_schema=False)
PAGE = Page("/maps", "Maps", "Maps", router)


@dataclass(frozen=True, slots=True)
class PresetForm:
    """A preset: what its button begins; ``full`` names its large form, where there is one."""

    title: str
    note: str
    fields: Sequence[tuple[str, str]]
    full: Sequence[tuple[str, str]]
    current: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a map is, in words."""

    id: str
    state: str
    detail: str
    done: int
    total: int
    words: str


@dataclass(frozen=True, slots=True)
class TableView:
    """The cells as a table: a row for each value of y."""

    corner: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True)
class MapsPage:
    """What the template receives."""

    presets: Sequence[PresetForm]
    axes: dict[str, Control]
    numbers: dict[str, bool]
    """By axis: whether it is a number, with ends; else its values are chosen."""
    ranges: dict[str, tuple[str, str, str] | None]
    """By parameter: lowest, highest and spread to begin with; None for a choice."""
    base: Sequence[Control]
    training: Sequence[Control]
    trains: bool
    open_base: bool
    refusal: str
    here: str
    """The map's own address."""
    plane: Plane | None
    title: str
    note: str
    progress: Progress | None
    table: TableView | None
    figure: Any
    drawing: Any


@router.get(PAGE.path, response_class=HTMLResponse, name="maps")
async def maps(request: Request, charting: ChartingMaps) -> Response:
    """The map of the query: its picture if there is one, and what begins it."""
    first = parse_qsl(query_of(PRESETS[0].plane), keep_blank_values=True)
    query = MapQuery.read(request.query_params.multi_items() or first)
    if request.state.head:
        status = 200 if query.plane else 422
        return HTMLResponse(headers={"Cache-Control": "private, no-cache"}, status_code=status)
    if request.headers.get("sec-fetch-dest") == "document":  # somebody looks, and may begin one
        asyncio.get_running_loop().run_in_executor(None, charting.get_ready)
    return await _answer(request, charting, query, 200 if query.plane else 422)


@router.post(PAGE.path, name="begin_map_page")
async def begin(request: Request, charting: ChartingMaps) -> Response:
    """Begin the map that the form describes, and lead to it."""
    query = MapQuery.read(await posted(request))
    if query.plane is None:
        return await _answer(request, charting, query, 422)
    try:
        await from_store(partial(charting.start, query.plane))
    except (InvalidParameters, OverLimit) as error:
        return await _answer(request, charting, query.refused(error), 422)
    except Problem as problem:
        return await _answer(request, charting, query.refused(problem), problem.status)
    return RedirectResponse(address(request, "maps", query.text), 303)


@router.post("/maps/{map}/cancel", name="cancel_map_page")
async def cancel(request: Request, map: MapId, charting: ChartingMaps) -> Response:  # noqa: A002
    """Cancel a map; htmx is told how far it came, a browser led back."""
    await from_store(partial(charting.cancel, map))
    found = await from_store(partial(charting.kept.map, map))
    if in_part(request):
        template = environment.get_template("partials/maps/progress.html")
        told = {**context(request, None), "progress": _progress(found, charting.jobs)}
        html = await template.render_async(told)
        return HTMLResponse(html, headers={"Cache-Control": "no-store"})
    return RedirectResponse(address(request, "maps", query_of(found.plane)), 303)


@router.get("/maps/{map}/follow", name="follow_map_page")
async def follow(request: Request, map: MapId, charting: ChartingMaps) -> Response:  # noqa: A002
    """The page's own stream: cells as they are completed, and the words about them as HTML."""
    given = dict(request.query_params.multi_items())
    if unknown := set(given) - {"after"}:
        raise refused(sorted(unknown)[0], "unknown parameter; expected after")
    after = whole_number({n: [v] for n, v in given.items()}, "after", 0, LAST_STEP) or 0
    await from_store(partial(charting.kept.map, map))
    if request.state.head:
        return Response(headers={"Cache-Control": "no-store"}, media_type="text/event-stream")
    compute: Compute = request.app.state.compute

    def told(found: KeptMap, cells: list[list[Any]], _: int) -> list[Wire]:
        table = None
        if found.state != "running":
            table = _table(read_grid(charting.kept, map)[1])
        template = templates.env.get_template("partials/maps/news.html")
        html = template.render(
            progress=_progress(found, charting.jobs), table=table,
            address=partial(address, request),
        )  # fmt: skip
        drawn: list[Wire] = [("cells", json_text(cells))] if cells else []
        return [*drawn, ("", html)]

    return EventStream(MapFollower(charting.kept, map, after, told, lambda: compute.closed))


async def _answer(
    request: Request, charting: ChartingMaps, query: MapQuery, status: int
) -> HTMLResponse:
    plane, found, grid, after = query.plane, None, None, 0
    if plane is not None:
        try:
            found, grid, after = await from_store(partial(read_grid, charting.kept, plane.id))
        except Problem as problem:
            if problem.status != 404:
                query = query.refused(problem)
    page = _page(request, charting, query, found, grid, after)
    whole, part = "pages/maps/map.html", "partials/maps/maps.html"
    return await render_either(request, whole, part, page, status)


def _page(
    request: Request, charting: ChartingMaps, query: MapQuery, found: KeptMap | None,
    grid: Grid | None, after: int,
) -> MapsPage:  # fmt: skip
    plane, typed = query.plane, {n: f.typed for n, f in query.forms.items()}
    axes = controls(Axes, typed["axes"], query.messages)
    base = experiment_controls(typed["base"], dict(query.messages))
    training = controls(Training, typed["training"], query.messages)
    outcome = OUTCOMES.get(axes["outcome"].value)
    known = parameters()
    return MapsPage(
        presets=[_preset(each, plane) for each in PRESETS],
        axes=axes,
        numbers={
            name: axes[name].value not in known or is_number(axes[name].value)
            for name in ("x", "y")
        },
        ranges={name: _range(name) for name in known},
        base=list(base.values()),
        training=[c for name, c in training.items() if name not in RECORDING],
        trains=bool(outcome and outcome.trains),
        open_base=any(c.error for c in (*base.values(), *training.values())),
        refusal=query.refusal,
        here=address(request, "maps", query.text),
        plane=plane,
        title="" if plane is None else plane.chosen.title,
        note="" if plane is None else plane.chosen.formula,
        progress=None if found is None else _progress(found, charting.jobs),
        table=None if grid is None else _table(grid),
        figure=None if plane is None else map_figure(plane),
        drawing=None if plane is None else _drawing(request, plane, grid, found, after),
    )


def _range(name: str) -> tuple[str, str, str] | None:
    if not is_number(name):
        return None
    field = parameters()[name].model_fields[name]
    shown, (low, high) = presentation(field), bounds(field)
    ends = shown.slider or (low, min(high, MOST_END))
    return f"{ends[0]:g}", f"{ends[1]:g}", "log" if shown.log else "linear"


def _preset(each: Any, plane: Plane | None) -> PresetForm:
    full = [] if each.full is None else parse_qsl(query_of(each.full), keep_blank_values=True)
    fields = parse_qsl(query_of(each.plane), keep_blank_values=True)
    current = plane is not None and plane.id in (each.plane.id, each.full and each.full.id)
    return PresetForm(each.title, each.note, fields, full, current)


def _progress(found: KeptMap, jobs: int | None) -> Progress:
    words = f"{whole(found.done)} of {whole(found.total)} experiments"
    left = seconds_left(found, jobs)
    if left is not None:
        words += f", about {_time(left)} left"
    elif found.state == "running" and not found.done:
        words += ", starting"
    return Progress(found.id, found.state, found.detail, found.done, found.total, words)


def _time(seconds: float) -> str:
    """A time to wait, as one would say it.

    >>> _time(0.4), _time(42), _time(600), _time(9000)
    ('1 s', '42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _table(grid: Grid) -> TableView | None:
    plane = grid.plane
    rows, columns = plane.shape
    if rows * columns > MOST_TABLE:
        return None

    def text(row: int, column: int) -> str:
        cell = grid.cell(row, column)
        if cell is None:
            return ""
        if cell.number is None:
            return cell.text
        spread = "" if cell.spread is None else f" ± {number(cell.spread)}"
        levels = plane.chosen.levels
        if levels and cell.number.is_integer():
            return levels[int(cell.number)] + (f": {cell.text}" if cell.text else "")
        return number(cell.number) + spread

    return TableView(
        f"{plane.y.title} \\ {plane.x.title}",
        [text_of(v) for v in plane.x.values],
        [(text_of(v), [text(row, c) for c in range(columns)])
         for row, v in enumerate(plane.y.values)],
    )  # fmt: skip


def _drawing(
    request: Request, plane: Plane, grid: Grid | None, found: KeptMap | None, after: int
) -> dict[str, Any]:
    cells = [] if grid is None else [cell_json(*each) for each in grid.cells()]
    axes = {
        name: {
            "parameter": axis.parameter, "title": axis.title, "number": axis.is_number,
            "values": [text_of(v) for v in axis.values],
            "experiment": axis.parameter in Experiment.model_fields,
        }
        for name, axis in (("x", plane.x), ("y", plane.y))
    }  # fmt: skip
    return {
        **axes, "cells": cells, "after": after, "display": display(plane.chosen),
        "id": plane.id, "state": None if found is None else found.state,
        "lab": address(request, "lab"), "query": urlencode(plane.base.to_query()),
        "theory": address(request, "get_theory", map=plane.id),
    }  # fmt: skip
