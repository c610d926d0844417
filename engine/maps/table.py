"""A map as text: a line a cell, with all digits of its numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from layerscope.engine.basis.specification import text_of
from layerscope.engine.maps.grid import Grid

__all__ = ["lines"]


def lines(grid: Grid) -> Iterator[str]:
    """CSV: both parameters, the outcome, its spread over the seeds, and what else there is to say.
    A cell that is not known yet has no line; one without a number has an empty field.

    >>> from layerscope.engine.maps.axes import Axis
    >>> from layerscope.engine.maps.outcomes import Reading
    >>> from layerscope.engine.maps.plane import Plane
    >>> grid = Grid(Plane(Axis.of("depth", [1, 2]), Axis.of("residual"), outcome="loss"))
    >>> _ = grid.add(1, Reading(0.5))
    >>> list(lines(grid))
    ['depth,residual,loss,spread,text\\n', '2,false,0.5,,\\n']
    """
    plane = grid.plane
    yield _line([plane.x.parameter, plane.y.parameter, plane.outcome, "spread", "text"])
    for row, column, cell in grid.cells():
        yield _line(
            [text_of(plane.x.values[column]), text_of(plane.y.values[row]), text_of(cell.number),
             text_of(cell.spread), cell.text]
        )  # fmt: skip


def _line(fields: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(fields)
    return out.getvalue()
