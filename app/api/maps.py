"""Maps: begin one, follow it, read it, cancel it; its table, and theory's lines over it."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from layerscope.app.api.parameters import (
    AFTER,
    FORMAT,
    Computing,
    check_csv,
    check_json_type,
    known_entry,
    parse_json,
)
from layerscope.app.api.responses import (
    NO_STORE,
    answered,
    bodiless,
    described,
    described_events,
    described_json,
    fresh,
    problems,
)
from layerscope.app.caching import etag
from layerscope.app.encoding import json_bytes, json_text
from layerscope.app.forms import query_parameter
from layerscope.app.mapped import ChartingMaps, MapFollower, MapId, read_grid, told_of
from layerscope.app.recorded import asked, from_store, whole
from layerscope.app.streams import EventStream, Wire
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.experiment import Experiment
from layerscope.engine.maps.axes import RANGE, SCALES, parameters
from layerscope.engine.maps.kept import KeptMap
from layerscope.engine.maps.outcomes import OUTCOMES
from layerscope.engine.maps.plane import MOST_SEEDS, Plane
from layerscope.engine.maps.table import lines
from layerscope.engine.maps.theory import theory_lines
from layerscope.engine.training import Training

__all__ = ["router"]

router = APIRouter(tags=["maps"], default_response_class=Response)
STATED = {"id": "d3b07384d113edec49eaa6238ad5ff00", "state": "running", "detail": "",
          "created": 1.8e9, "done": 12, "total": 400, "seconds_left": 9.5}  # fmt: skip
BODY = {
    "x": {"parameter": "init_scale", "from": 0.5, "to": 2, "steps": 20, "scale": "log"},
    "y": {"parameter": "depth", "values": [1, 3, 10]},
    "base": {"activation": "tanh", "width": 8, "batch": 8}, "outcome": "last_std", "seeds": 1,
}  # fmt: skip


def _body_schema() -> dict[str, Any]:
    values = {"type": "array", "items": {"type": ["number", "string", "boolean"]}}
    axis = {
        "type": "object", "required": ["parameter"], "additionalProperties": False,
        "description": "Values, or a range of a number: `from`, `to`, `steps`, and how they are "
        "spread.",
        "properties": {
            "parameter": {"type": "string", "enum": list(parameters())},
            "values": values, "from": {"type": "number"}, "to": {"type": "number"},
            "steps": {"type": "integer", "minimum": 1, "maximum": 200, "default": 20},
            "scale": {"type": "string", "enum": list(SCALES), "default": "linear"},
        },
        "allOf": [{"not": {"required": ["values", name]}} for name in RANGE],
    }  # fmt: skip
    return {
        "type": "object", "required": ["x", "y"], "additionalProperties": False,
        "properties": {
            "x": axis, "y": axis, "base": Experiment.json_schema(),
            "outcome": {"type": "string", "enum": list(OUTCOMES), "default": "last_std"},
            "seeds": {"type": "integer", "minimum": 1, "maximum": MOST_SEEDS, "default": 1},
            "training": {"anyOf": [Training.json_schema(), {"type": "null"}]},
        },
    }  # fmt: skip


@router.get(
    "/maps",
    summary="The maps that were begun last",
    openapi_extra={
        "parameters": [
            query_parameter("limit", "So many at most.",
                            {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}),
        ]
    },
    responses={200: described_json("Newest first.", {"maps": [STATED]}, "maps"),
               **problems(422, 503)},
)  # fmt: skip
async def list_maps(request: Request, charting: ChartingMaps) -> Response:
    """`state` is `running`, `finished`, `cancelled` or `failed`, and `detail` says why it failed;
    `done` and `total` count experiments: cells times seeds. `specification` is null of a map that
    can't be read any more."""
    limit = whole(asked(request, ("limit",)), "limit", 1, 200) or 50
    if request.state.head:
        return bodiless("application/json", NO_STORE)
    found = await from_store(partial(charting.kept.newest, limit))
    told = [
        {
            **told_of(m, charting.jobs),
            "specification": None if m.plane is None else m.plane.to_json(),
        }
        for m in found
    ]
    return fresh({"maps": told})


@router.post(
    "/maps",
    summary="Begin a map",
    status_code=202,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _body_schema(), "example": BODY}},
        }
    },
    responses={
        202: described_json("It is computed, or was already.", STATED, "id", "state"),
        **problems(413, 415, 422, 503),
    },
)  # fmt: skip
async def begin_map(request: Request, charting: ChartingMaps) -> Response:
    """The same map asked twice is one map; one that was cancelled goes on where it was. Refused
    before anything starts: too many experiments, too much work, too many maps at once."""
    check_json_type(request)
    plane = Plane.from_json(parse_json(await request.body()))
    found = await from_store(partial(charting.start, plane))
    headers = {"Location": str(request.app.url_path_for("get_map", map=found.id))}
    return fresh(told_of(found, charting.jobs), 202, headers)


@router.get(
    "/maps/{map}",
    summary="A map as far as it is known",
    responses={
        200: described_json(
            "`cells` and `spread` are rows of y over columns of x: null for what is to come, and "
            "for a cell without a finite number, of which `texts` says more.",
            {**STATED, "x": [0.5, 2], "y": [1], "cells": [[0.7, None]], "spread": [[None, None]],
             "texts": [[0, 1, "inf"]], "specification": BODY},
            "state", "done", "total", "x", "y", "cells"),
        **problems(404, 422, 503),
    },
)  # fmt: skip
async def get_map(request: Request, map: MapId, charting: ChartingMaps) -> Response:  # noqa: A002
    """`cells` hold each cell's number, or the mean of its seeds, whose standard deviation is in
    `spread`. `texts` has row, column and words: of a cell without a number why there is none, else
    what there is to say of it."""
    if request.state.head:
        return bodiless("application/json", NO_STORE)
    return fresh(await from_store(partial(_whole, charting, map)))


def _whole(charting: ChartingMaps, map: str) -> dict[str, Any]:  # noqa: A002
    found, grid, _ = read_grid(charting.kept, map)
    rows, columns = found.plane.shape
    cells: list[list[Any]] = [[None] * columns for _ in range(rows)]
    spread: list[list[Any]] = [[None] * columns for _ in range(rows)]
    texts = []
    for row, column, cell in grid.cells():
        cells[row][column], spread[row][column] = cell.number, cell.spread
        if cell.text:
            texts.append([row, column, cell.text])
    return {
        **told_of(found, charting.jobs), "x": list(found.plane.x.values),
        "y": list(found.plane.y.values), "cells": cells, "spread": spread, "texts": texts,
        "specification": found.plane.to_json(),
    }  # fmt: skip


@router.get(
    "/maps/{map}/stream",
    summary="Follow a map",
    openapi_extra={"parameters": [AFTER]},
    responses={
        200: described_events(
            "`map` as the list has it, and `cells` as they are completed: row, column, number, "
            "spread and text of each. The id of `cells`, as `Last-Event-ID`, resumes after them; "
            "`end` once it is computed no more.", ("map", "cells"),
            'event: cells\ndata: {"cells":[[0,3,0.71,null,""]]}\nid: 4\n\n'),
        **problems(404, 422, 503),
    },
)  # fmt: skip
async def follow_map(
    request: Request, map: MapId, charting: ChartingMaps, compute: Computing  # noqa: A002
) -> Response:  # fmt: skip
    """Every cell, coarse to fine, from the beginning or from after an entry. Who stops reading does
    not stop the map."""
    after = known_entry(request)
    await from_store(partial(charting.kept.map, map))
    if request.state.head:
        return bodiless("text/event-stream", NO_STORE)

    def told(found: KeptMap, cells: list[list[Any]], cursor: int) -> list[Wire]:
        state: Wire = ("map", json_text(told_of(found, charting.jobs)))
        return [state, ("cells", json_text({"cells": cells}), str(cursor))] if cells else [state]

    return EventStream(
        MapFollower(charting.kept, map, after, told, lambda: compute.closed)
    )  # fmt: skip


@router.get(
    "/maps/{map}/theory",
    summary="Theory's lines over a map",
    responses={
        200: described_json(
            "Each line's points are in steps from the first value of x and of y.",
            {"lines": [{"name": "edge", "title": "edge of chaos", "formula": "χ₁ = 1",
                        "source": "…", "paths": [[[3.2, 0.0], [3.2, 9.0]]]}], "reason": None},
            "lines"),
        **problems(304, 404, 422, 503),
    },
)  # fmt: skip
async def get_theory(request: Request, map: MapId, charting: ChartingMaps) -> Response:  # noqa: A002
    """Edge of chaos, 6 ξc and the forecast of overflow, where they lie in the plane; `reason` says
    why there are none."""
    found = await from_store(partial(charting.kept.map, map))
    work = partial(_theory, found.plane)
    return await answered(request, etag("theory", map), work, quick=True)


def _theory(plane: Plane, should_stop: ShouldStop) -> bytes:
    """In a worker."""
    return json_bytes(theory_lines(plane, should_stop))


@router.get(
    "/maps/{map}/export",
    summary="A map as a table",
    openapi_extra={"parameters": [FORMAT]},
    responses={
        200: described("A row a cell.", "text/csv", {"type": "string"},
                       "init_scale,depth,last_std,spread,text\n0.5,1,0.7,,\n"),
        **problems(404, 422, 503),
    },
)  # fmt: skip
async def export_map(request: Request, map: MapId, charting: ChartingMaps) -> Response:  # noqa: A002
    """Every cell that is known, with all digits."""
    check_csv(request)
    _, grid, _ = await from_store(partial(read_grid, charting.kept, map))
    headers = {**NO_STORE, "Content-Disposition": f'attachment; filename="map-{map}.csv"'}
    if request.state.head:
        return bodiless("text/csv", headers)
    return StreamingResponse(lines(grid), headers=headers, media_type="text/csv")


@router.delete(
    "/maps/{map}",
    summary="Cancel a map",
    status_code=204,
    responses={204: {"description": "It is computed no more; what is known of it stays."},
               **problems(404, 422, 503)},
)  # fmt: skip
async def cancel_map(map: MapId, charting: ChartingMaps) -> Response:  # noqa: A002
    """Its processes end within a second. Begun again, it goes on where it was."""
    await from_store(partial(charting.cancel, map))
    return Response(status_code=204)
