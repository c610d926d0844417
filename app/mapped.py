"""Maps, read for whoever looks at them: how far one is, and following it while it is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Path, Request

from layerscope.app.charting import Charting
from layerscope.app.recorded import Polling
from layerscope.app.streams import Wire
from layerscope.engine.maps.grid import Cell, Grid
from layerscope.engine.maps.kept import KeptMap, Maps, Standing

__all__ = [
    "ChartingMaps", "MapFollower", "MapId", "cell_json", "read_grid", "seconds_left", "told_of",
]  # fmt: skip

AT_ONCE = 2000
"""Readings read at once."""


async def _charting(request: Request) -> Charting:
    charting: Charting = request.app.state.charting
    return charting


ChartingMaps = Annotated[Charting, Depends(_charting)]
"""Where the application computes maps, and keeps them."""

MapId = Annotated[
    str, Path(pattern="^[0-9a-f]{32}$", description="The hash of the map's specification.")
]


def seconds_left(found: Standing, jobs: int | None) -> float | None:
    """How long the rest of a running map will take, ``jobs`` experiments at a time, by what they
    took so far; None before that is known, or where a cluster decides how many."""
    if found.state != "running" or not found.computed or jobs is None:
        return None
    return found.seconds / found.computed * (found.total - found.done) / jobs


def told_of(found: Standing, jobs: int | None) -> dict[str, Any]:
    """What is told of a map as a whole."""
    return {
        "id": found.id, "state": found.state, "detail": found.detail, "created": found.created,
        "done": found.done, "total": found.total, "seconds_left": seconds_left(found, jobs),
    }  # fmt: skip


def cell_json(row: int, column: int, cell: Cell) -> list[Any]:
    """A cell as streams have it: row, column, number, spread, text."""
    return [row, column, cell.number, cell.spread, cell.text]


def read_grid(kept: Maps, id: str) -> tuple[KeptMap, Grid, int]:  # noqa: A002
    """A map's cells as far as they are known, and the entry up to which that is. In a thread.

    Errors: ``NoSuchMap``; ``StoreError``.
    """
    after, grid = 0, None
    while True:
        found = kept.follow(id, after, limit=20_000)
        grid = grid or Grid(found.map.plane)
        for cell in found.cells:
            grid.add(cell.place, cell.reading)
        after = found.cells[-1].sequence if found.cells else after
        if not found.more:
            return found.map, grid, after


class MapFollower(Polling):
    """What comes into a map after entry ``after``, until it is computed no more.

    Args:
        told: what to send of the map as it is, of the cells that were completed since, and of the
            last entry.
        closed: whether the server is stopping.
    """

    def __init__(
        self, kept: Maps, id: str, after: int,  # noqa: A002
        told: Callable[[KeptMap, list[list[Any]], int], list[Wire]],
        closed: Callable[[], bool],
    ) -> None:  # fmt: skip
        super().__init__(self._look_at, closed)
        self._kept, self._id, self._told = kept, id, told
        self._after, self._cursor = after, 0
        self._grid: Grid | None = None
        self._state = ""

    def _look_at(self) -> tuple[list[Wire], bool]:
        found = self._kept.follow(self._id, self._cursor, limit=AT_ONCE)
        self._grid = self._grid or Grid(found.map.plane)
        cells = []
        for each in found.cells:
            place = self._grid.add(each.place, each.reading)
            cell = None if place is None else self._grid.cell(*place)
            if place is not None and cell is not None and each.sequence > self._after:
                cells.append(cell_json(*place, cell))
            self._cursor = each.sequence
        came = bool(found.cells) and self._cursor > self._after
        news = came or found.map.state != self._state
        self._state = found.map.state
        ended = found.map.state != "running" and not found.more
        told = self._told(found.map, cells, self._cursor) if news else []
        return told, ended
