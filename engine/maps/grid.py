"""Readings put together: a plane's cells, each the mean and spread of its seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from layerscope.engine.maps.outcomes import Reading
from layerscope.engine.maps.plane import Plane

__all__ = ["Cell", "Grid"]


def _mean(numbers: Sequence[float]) -> float:
    try:
        return math.fsum(numbers) / len(numbers)
    except OverflowError:  # their sum is no number, their mean is
        return math.fsum(x / len(numbers) for x in numbers)


def _spread(numbers: Sequence[float], mean: float) -> float | None:
    """The unbiased standard deviation; None where no number is as large."""
    apart = math.hypot(*(x / 2 - mean / 2 for x in numbers))  # x - mean may be no number
    found = 2 * (apart / math.sqrt(len(numbers) - 1))
    return found if math.isfinite(found) else None


@dataclass(frozen=True, slots=True)
class Cell:
    """``number`` is None where a seed has none, and ``text`` says why; ``spread`` is the unbiased
    standard deviation over the seeds, None for one or where no number is as large."""

    number: float | None
    spread: float | None
    text: str

    @property
    def value(self) -> float:
        """As of a reading."""
        return Reading(self.number, self.text).value


class Grid:
    """The cells of a plane as far as they are known; a cell is known with the last of its seeds.

    >>> from layerscope.engine.maps.axes import Axis
    >>> axes = Axis.of("depth", [1, 2]), Axis.of("width", [4])
    >>> grid = Grid(Plane(*axes, seeds=2))
    >>> grid.add(0, Reading(1.0)), grid.add(1, Reading(3.0))
    (None, (0, 0))
    >>> grid.cell(0, 0).number, grid.cell(0, 1)
    (2.0, None)
    """

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self._readings: dict[int, Reading] = {}

    @property
    def done(self) -> int:
        """Experiments that are known."""
        return len(self._readings)

    def add(self, place: int, reading: Reading) -> tuple[int, int] | None:
        """Take a reading; row and column of the cell that it completes."""
        self._readings[place] = reading
        row, column = self.plane.cell(place)
        return None if self.cell(row, column) is None else (row, column)

    def cell(self, row: int, column: int) -> Cell | None:
        """A cell, or None where a seed is still to come."""
        seeds = self.plane.seeds
        first = (row * len(self.plane.x) + column) * seeds
        found = [self._readings.get(first + i) for i in range(seeds)]
        known = [r for r in found if r is not None]
        if len(known) < seeds:
            return None
        if seeds == 1:
            return Cell(known[0].number, None, known[0].text)
        texts = Counter(r.text for r in known if r.text)
        numbers = [r.number for r in known if r.number is not None]
        if len(numbers) < seeds:
            why = next(r.text for r in known if r.number is None)
            return Cell(None, None, f"{why} ({seeds - len(numbers)} of {seeds} seeds)")
        said = texts.most_common(1)[0][0] if texts else ""
        mean = _mean(numbers)
        return Cell(mean, _spread(numbers, mean), said)

    def cells(self) -> Iterator[tuple[int, int, Cell]]:
        """Row, column and cell of every known one."""
        rows, columns = self.plane.shape
        for row in range(rows):
            for column in range(columns):
                if (cell := self.cell(row, column)) is not None:
                    yield row, column, cell

    def values(self) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """(rows, columns): each cell's number, an infinity where it is one, else NaN."""
        found = np.full(self.plane.shape, math.nan)
        for row, column, cell in self.cells():
            found[row, column] = cell.value
        return found

    def spread(self) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """(rows, columns): the standard deviation over the seeds, NaN where there is none."""
        found = np.full(self.plane.shape, math.nan)
        for row, column, cell in self.cells():
            found[row, column] = math.nan if cell.spread is None else cell.spread
        return found
