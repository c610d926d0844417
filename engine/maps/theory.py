"""Theory over a map: lines in its plane along which mean-field theory says that something turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from contourpy import contour_generator

from layerscope.engine.analyses.phase_diagram import sigma_w, trainable_depth
from layerscope.engine.basis.cancellation import ShouldStop, never, stop_if
from layerscope.engine.basis.registry import Registry
from layerscope.engine.experiment import Experiment
from layerscope.engine.experiment.gains import gains_of
from layerscope.engine.layers import chosen_norm
from layerscope.engine.maps.axes import Axis
from layerscope.engine.maps.plane import Plane
from layerscope.engine.theory.experiments import predict_experiment
from layerscope.engine.theory.meanfield import FixedPoint, fixed_point
from layerscope.engine.theory.moments import MomentsUndefined

__all__ = ["LINES", "Line", "edge", "line", "overflow", "theory_lines", "trainable"]

FAR = 5.0
"""What a field is cut off at: the line is where it is 0."""
FORECAST_DEPTH = 24
"""Blocks from which on a forecast of overflow goes on in a straight line."""

Path = list[list[float]]
"""Points, in steps from the first value of x and of y."""
FieldOf = Callable[[Experiment, float], float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """``value`` of an experiment and a depth, not necessarily whole, is 0 along the line; None
    where there is no theory. ``points``: of the grid, along each axis, on which it is asked."""

    name: str
    title: str
    formula: str
    source: str
    help: str
    points: int
    value: FieldOf = field(repr=False)


LINES: Registry[Line] = Registry("line")


def _line(
    value: FieldOf, title: str, formula: str, source: str, help: str, points: int  # noqa: A002
) -> Line:  # fmt: skip
    return Line(value.__name__, title, formula, source, help, points, value)


line = LINES.decorator(_line)


def _cut(value: float) -> float:
    return max(-FAR, min(FAR, value))


def _log(value: float | None) -> float:
    """None is without limit."""
    return FAR if value is None else _cut(math.log(value)) if value > 0 else -FAR


def _point(experiment: Experiment) -> FixedPoint | None:
    w = sigma_w(experiment)
    beyond = chosen_norm(experiment.norm) or experiment.residual or experiment.beyond_theory
    if w is None or beyond:
        return None
    return fixed_point(experiment.phi, w * w, experiment.bias_variance(experiment.width))


@line(
    title="edge of chaos",
    formula="χ₁ = 1",
    source="Poole et al. 2016; Schoenholz et al. 2017",
    help="On one side every two inputs end up alike, on the other near ones are torn apart.",
    points=25,
)
def edge(experiment: Experiment, _: float) -> float | None:
    """ln χ₁."""
    point = _point(experiment)
    return None if point is None else _log(point.chi1)


@line(
    title="trainable to 6 ξc",
    formula="depth = 6 ξc",
    source="Schoenholz et al. 2017, figure 5",
    help="Beyond it the correlation of two inputs has settled, and gradients carry nothing.",
    points=31,
)
def trainable(experiment: Experiment, depth: float) -> float | None:
    """ln(6 ξc / depth)."""
    point = _point(experiment)
    if point is None:
        return None
    reach = trainable_depth(point)
    return FAR if reach is None else _log(reach / depth)


@line(
    title="overflow forecast",
    formula="the largest entry of the last block is the number format's largest",
    source="mean-field lengths, extrapolated",
    help="Beyond it the signal is larger than the number format allows.",
    points=13,
)
def overflow(experiment: Experiment, depth: float) -> float | None:
    """ln(block that overflows first / depth)."""
    alike = len(gains_of(experiment.layer_gains))  # from this block on
    update = {"depth": min(experiment.depth, max(FORECAST_DEPTH, alike))}
    said = predict_experiment(experiment.model_copy(update=update))
    if not said.available:
        return None
    blocks = [
        f.block
        for f in said.forecast
        if (f.dtype, f.direction, f.event) == (experiment.dtype, "forward", "overflow")
    ]
    return FAR if not blocks else _log(min(blocks) / depth)


def theory_lines(plane: Plane, should_stop: ShouldStop = never) -> dict[str, Any]:
    """Every line that runs through the plane, and why there is none where there is none.

    >>> from layerscope.engine.maps.axes import Axis
    >>> base = Experiment(activation="tanh", init="lecun_normal")
    >>> axes = Axis.between("init_scale", 0.5, 2, 4), Axis.of("depth", [10, 20, 40])
    >>> [each["name"] for each in theory_lines(Plane(*axes, base))["lines"]]
    ['edge', 'trainable']
    """
    found, known = [], False
    for each in LINES.values():
        paths, defined = _paths(plane, each, should_stop)
        known = known or defined
        if paths:
            told = {n: getattr(each, n) for n in ("name", "title", "formula", "source", "help")}
            found.append({**told, "paths": paths})
    reason = None
    if not found:
        reason = "no line of theory runs through this plane"
        if not known:
            reason = "no theory for this setting"
        if not (plane.x.is_number or plane.y.is_number):
            reason = "no axis is a number"
    return {"lines": found, "reason": reason}


def _paths(plane: Plane, each: Line, should_stop: ShouldStop) -> tuple[list[Path], bool]:
    x, y = (_positions(axis, each.points) for axis in (plane.x, plane.y))
    values = np.full((len(y), len(x)), math.nan)
    for row, up in enumerate(y):
        stop_if(should_stop)
        for column, along in enumerate(x):
            value = _value(plane, each, along, up)
            values[row, column] = math.nan if value is None else value
    defined = bool(np.isfinite(values).any())
    if plane.x.is_number and plane.y.is_number and min(values.shape) > 1:
        lines = contour_generator(x=x, y=y, z=np.ma.masked_invalid(values)).lines(0.0)
        return [np.round(np.asarray(line, float), 4).tolist() for line in lines], defined
    if plane.x.is_number and len(x) > 1:
        crossed = _crossings(x, y, values)
        return [[[at, up - 0.5], [at, up + 0.5]] for up, at in crossed], defined
    if plane.y.is_number and len(y) > 1:
        crossed = _crossings(y, x, values.T)
        return [[[along - 0.5, at], [along + 0.5, at]] for along, at in crossed], defined
    return [], defined


def _positions(axis: Axis, points: int) -> list[float]:
    """Steps from the first value: as many as there is something to ask at."""
    last = len(axis) - 1
    if not axis.is_number or last == 0:
        return [float(i) for i in range(len(axis))]
    found: list[float] = np.linspace(0, last, points).tolist()
    return found


def _crossings(
    along: list[float], rows: list[float], values: np.ndarray[Any, np.dtype[np.float64]]
) -> Iterator[tuple[float, float]]:
    """Row and place of every change of sign along a row."""
    for row, of_row in zip(rows, values, strict=True):
        for i in range(len(along) - 1):
            a, b = float(of_row[i]), float(of_row[i + 1])
            if a * b < 0:
                yield row, round(along[i] + (along[i + 1] - along[i]) * a / (a - b), 4)


def _value(plane: Plane, each: Line, along: float, up: float) -> float | None:
    """At so many steps from the first values."""
    update: dict[str, Any] = {}
    depth: float = plane.base.depth
    for axis, at in ((plane.x, along), (plane.y, up)):
        if axis.parameter not in type(plane.base).model_fields:
            continue
        value = axis.at(at)
        if axis.parameter == "depth":
            depth = float(value)
        whole = isinstance(axis.values[0], int) and not isinstance(axis.values[0], bool)
        update[axis.parameter] = round(value) if whole else value
    try:
        return each.value(plane.base.model_copy(update=update), depth)
    except MomentsUndefined:
        return None
