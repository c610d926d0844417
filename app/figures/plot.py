"""A small line plot as coordinates, which ``macros/plot.html`` draws as SVG: no script needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from layerscope.app.figures import number

__all__ = ["Curve", "Mark", "Plot", "Series", "Tick", "plot", "ticks"]

LEFT, RIGHT, TOP, BOTTOM = 44.0, 18.0, 10.0, 24.0


@dataclass(frozen=True, slots=True)
class Series:
    """What is to be drawn: a value for every x; None leaves a gap."""

    name: str
    css: str
    y: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Curve:
    """The same as an SVG path."""

    name: str
    css: str
    path: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid."""

    at: float
    text: str
    zero: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """A point with a text beside it; in data on the way in, in coordinates on the way out."""

    x: float
    y: float
    text: str
    css: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything of the drawing, in units of its view box."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    curves: tuple[Curve, ...]
    marks: tuple[Mark, ...]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high``.

    >>> ticks(-6, 6), ticks(0, 0.9)
    ([-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0], [0.0, 0.2, 0.4, 0.6, 0.8])
    """
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s for s in (1, 2, 5, 10) if s * power >= rough * 0.75) * power
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.6g}") + 0.0 for i in range(first, last + 1)]


def plot(
    x: Sequence[float],
    series: Sequence[Series],
    marks: Sequence[Mark] = (),
    *,
    y_range: tuple[float, float] | None = None,
    width: float = 460,
    height: float = 250,
    axes: bool = True,
) -> Plot:
    """The plot of ``series`` over ``x``.

    Args:
        x: ascending.
        series: the curves, each as long as ``x``.
        marks: points with a text.
        y_range: the least and the largest y shown; by default everything finite.
        width: of the view box; one unit is about a pixel.
        height: of the view box.
        axes: leave room for the numbers at the axes.
    """
    left, bottom = (LEFT, height - BOTTOM) if axes else (1.0, height - 1)
    right, top = (width - RIGHT, TOP) if axes else (width - 1, 1.0)
    x_low, x_high = x[0], x[-1]
    y_low, y_high = y_range or _range(series)

    def place_x(value: float) -> float:
        return left + (value - x_low) / (x_high - x_low) * (right - left)

    def place_y(value: float) -> float:
        # Far outside is no different from outside, and keeps the numbers of the path short.
        share = max(-1.0, min(2.0, (value - y_low) / (y_high - y_low)))
        return bottom - share * (bottom - top)

    return Plot(
        width=width, height=height, left=left, right=right, top=top, bottom=bottom,
        x_ticks=tuple(_tick(t, place_x(t)) for t in ticks(x_low, x_high)),
        y_ticks=tuple(_tick(t, place_y(t)) for t in ticks(y_low, y_high, 4)),
        curves=tuple(Curve(s.name, s.css, _path(x, s.y, place_x, place_y)) for s in series),
        marks=tuple(
            Mark(round(place_x(m.x), 1), round(place_y(m.y), 1), m.text, m.css)
            for m in marks
            if math.isfinite(m.x) and math.isfinite(m.y) and x_low <= m.x <= x_high
        ),
    )  # fmt: skip


def _tick(value: float, at: float) -> Tick:
    """A round number, so it is written as short as it can be."""
    short = f"{value:g}".replace("-", "−")
    return Tick(round(at, 1), short if 0.001 <= abs(value) < 1e5 else number(value), value == 0)


def _range(series: Sequence[Series]) -> tuple[float, float]:
    finite = [y for s in series for y in s.y if y is not None and math.isfinite(y)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if high - low < 1e-9 * max(1.0, abs(low), abs(high)):
        low, high = low - 1, high + 1
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def _path(
    x: Sequence[float],
    y: Sequence[float | None],
    place_x: Callable[[float], float],
    place_y: Callable[[float], float],
) -> str:
    parts: list[str] = []
    pen = "M"
    for at, value in zip(x, y, strict=True):
        if value is None or not math.isfinite(value):
            pen = "M"
            continue
        parts.append(f"{pen}{place_x(at):.1f} {place_y(value):.1f}")
        pen = "L"
    return "".join(parts)
