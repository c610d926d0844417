"""A map computed: what is known is looked up, the rest is done by a crew and kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from layerscope.engine.experiment import Experiment
from layerscope.engine.maps.axes import Axis
from layerscope.engine.maps.execution import Crew
from layerscope.engine.maps.grid import Grid
from layerscope.engine.maps.kept import LOST, Maps
from layerscope.engine.maps.limits import MapLimits
from layerscope.engine.maps.outcomes import Reading
from layerscope.engine.maps.plane import Plane, Sample
from layerscope.engine.maps.table import lines
from layerscope.engine.store.patience import patiently

__all__ = ["DASK", "Came", "Map", "compute", "fill", "map"]

DASK = "LAYERSCOPE_DASK"
"""The environment variable that names a Dask scheduler, as ``tcp://host:8786``."""

Came = list[tuple[Sample, Reading | None, float]]
"""Samples, their readings, the seconds that each took: 0 where it was known."""


def compute(
    samples: Sequence[Sample], crew: Crew, known: Callable[[Sequence[Sample]], dict[int, Reading]]
) -> Iterator[Came]:
    """The readings of all samples: those that are known at once, then each as it comes.

    Errors: as of `Crew.done`.
    """
    found = known(samples)
    if found:
        yield [(s, found[s.place], 0.0) for s in samples if s.place in found]
    by_place = {s.place: s for s in samples if s.place not in found}
    for place, reading, seconds in crew.done(list(by_place.values())):
        yield [(by_place[place], reading, seconds or 1e-9)]


def fill(grid: Grid, samples: Sequence[Sample], crew: Crew, store: Maps | None) -> Iterator[int]:
    """Compute a grid's samples, looking up and keeping their readings in ``store``; how many
    experiments are done, whenever some are.

    Errors: as of `Crew.done`; ``StoreError``.
    """
    for came in compute(samples, crew, store.known if store else lambda _: {}):
        if store:
            new = [(s, r, took) for s, r, took in came if r is not None and took]
            patiently(partial(store.keep, new))
        for sample, reading, _ in came:
            grid.add(sample.place, reading or Reading(None, LOST))
        yield grid.done


class Map:
    """A finished map: an array with axes.

    ``values`` and ``spread`` are (y, x) arrays: each cell's number, or the mean of its seeds, and
    their standard deviation; NaN, or an infinity, where there is no finite number, and ``text``
    says why.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self.plane = grid.plane
        self.values = grid.values()
        self.spread = grid.spread()

    @property
    def x(self) -> tuple[Any, ...]:
        """The values along the columns."""
        return self.plane.x.values

    @property
    def y(self) -> tuple[Any, ...]:
        """The values along the rows."""
        return self.plane.y.values

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.plane.shape

    def text(self, row: int, column: int) -> str:
        """What there is to say of a cell beside its number."""
        cell = self._grid.cell(row, column)
        return "" if cell is None else cell.text

    def to_csv(self) -> str:
        """A line a cell, with all digits."""
        return "".join(lines(self._grid))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.values, dtype=dtype, copy=True if copy is None else copy)

    def __repr__(self) -> str:
        p = self.plane
        rows, columns = p.shape
        return f"<Map of {p.outcome}: {rows} {p.y.parameter} × {columns} {p.x.parameter}>"


AxisLike = Axis | Mapping[str, Any] | tuple[str, Any]


def map(  # noqa: A001 - `layerscope.map`
    x: AxisLike,
    y: AxisLike,
    *,
    outcome: str = "last_std",
    seeds: int = 1,
    training: Mapping[str, Any] | None = None,
    experiment: Experiment | None = None,
    jobs: int | None = None,
    dask: str | None = None,
    keep: bool = True,
    progress: Callable[[int, int], object] | None = None,
    **parameters: Any,
) -> Map:
    """A plane of experiments, computed on all cores.

    Args:
        x, y: ``("init_scale", values)``, or a range such as
            ``{"parameter": "init_scale", "from": 0.5, "to": 2, "steps": 20, "scale": "log"}``.
        outcome: a name of `OUTCOMES`.
        seeds: experiments for each cell, with the seeds that follow the experiment's.
        training: ``optimizer``, ``learning_rate``, ``steps``, where the outcome follows one.
        experiment: everything that no axis says; by default ``Experiment(**parameters)``.
        jobs: processes at once; as many as there are cores by default.
        dask: a scheduler that gets the work instead, by default what LAYERSCOPE_DASK names.
        keep: whether readings are kept in the data folder, so that they are computed once.
        progress: told how many experiments of how many are done, as they come.

    Errors: ``InvalidParameters`` naming what was expected; ``MapFailed``; ``StoreError`` where the
    readings can't be kept; ``OverLimit`` for a cell that is too large.
    """
    if experiment is not None and parameters:
        raise TypeError(f"expected an experiment or its parameters, got both: {list(parameters)}")
    base = experiment or Experiment.from_json(parameters)
    plane = Plane.from_json(
        {"x": _axis(x), "y": _axis(y), "base": base.to_dict(), "outcome": outcome, "seeds": seeds,
         "training": None if training is None else dict(training)}
    )  # fmt: skip
    limits = MapLimits(cells=10**6, flops=float("inf"))
    limits.count(plane)
    samples = list(plane.samples())
    limits.check(samples)
    grid = Grid(plane)
    store = Maps() if keep else None
    try:
        with Crew(jobs=jobs, dask=dask or os.environ.get(DASK) or None) as crew:
            for done in fill(grid, samples, crew, store):
                if progress is not None:
                    progress(done, plane.total)
    finally:
        if store:
            store.close()
    return Map(grid)


def _axis(given: AxisLike) -> dict[str, Any]:
    if isinstance(given, Axis):
        return given.to_json()
    if isinstance(given, tuple):
        name, values = given
        return {"parameter": name, "values": [getattr(v, "item", lambda v=v: v)() for v in values]}
    return dict(given)
