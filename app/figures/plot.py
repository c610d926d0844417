"""A small line plot as coordinates, which ``macros/plot.html`` draws as SVG: no script needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.app.figures.axes import Axis, Curve, Frame, decades, path, round_ticks

__all__ = ["Mark", "Plot", "Series", "plot"]

LEFT, RIGHT, TOP, BOTTOM = 44.0, 18.0, 10.0, 24.0


@dataclass(frozen=True, slots=True)
class Series:
    """What is to be drawn: a value for every x; None leaves a gap."""

    name: str
    css: str
    y: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Mark:
    """A point with a text beside it; in data on the way in, in coordinates on the way out."""

    x: float
    y: float
    text: str
    css: str


@dataclass(frozen=True, slots=True)
class Plot(Frame):
    """Everything of the drawing."""

    curves: tuple[Curve, ...]
    marks: tuple[Mark, ...]
    span: tuple[float, float]
    """The least and the greatest x."""


def plot(
    x: Sequence[float],
    series: Sequence[Series],
    marks: Sequence[Mark] = (),
    *,
    y_range: tuple[float, float] | None = None,
    width: float = 460,
    height: float = 250,
    axes: bool = True,
    log: bool = False,
) -> Plot:
    """The plot of ``series`` over ascending ``x``; a unit of ``width`` is about a pixel.

    ``y_range``: by default everything finite. ``axes``: room for the numbers at the axes. ``log``:
    every y is an exponent of ten.
    """
    left, bottom = (LEFT, height - BOTTOM) if axes else (1.0, height - 1)
    right, top = (width - RIGHT, TOP) if axes else (width - 1, 1.0)
    across = Axis(x[0], x[-1], left, right)
    up = Axis(*(y_range or _range(series)), bottom, top)
    return Plot(
        width=width, height=height, left=left, right=right, top=top, bottom=bottom,
        x_ticks=round_ticks(across), y_ticks=decades(up, 4) if log else round_ticks(up, 4),
        curves=tuple(
            Curve(s.name, s.css, path(across, up, zip(x, s.y, strict=True))) for s in series
        ),
        marks=tuple(
            Mark(across.place(m.x), up.place(m.y), m.text, m.css)
            for m in marks
            if math.isfinite(m.x) and math.isfinite(m.y) and across.inside(m.x)
        ),
        span=(x[0], x[-1]),
    )  # fmt: skip


def _range(series: Sequence[Series]) -> tuple[float, float]:
    finite = [y for s in series for y in s.y if y is not None and math.isfinite(y)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if high - low < 1e-9 * max(1.0, abs(low), abs(high)):
        low, high = low - 1, high + 1
    margin = 0.06 * (high - low)
    return low - margin, high + margin
