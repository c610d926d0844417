"""Axes, paths and steps of a drawing in SVG: data to coordinates, nothing but text and numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from layerscope.app.figures.text import number

__all__ = [
    "Axis", "Curve", "Frame", "Tick", "decades", "path", "percent", "round_ticks", "steps",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid; ``power`` is set where the text is 10 or 2 to that power."""

    at: float
    text: str
    power: str = ""


@dataclass(frozen=True, slots=True)
class Axis:
    """From data (``low`` to ``high``) to coordinates (``start`` to ``end``), linear.

    >>> Axis(0, 10, 100, 0).place(2.5)
    75.0
    """

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """The coordinate; what lies far outside stays near, which keeps paths short."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(self.start + max(-1.0, min(2.0, share)) * (self.end - self.start), 2)

    def inside(self, value: float) -> bool:
        """Whether the value is on the axis."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Frame:
    """Box and grid of a drawing, in units of its view box."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line, by the name that its legend gives; ``css`` says which hue."""

    name: str
    css: str
    path: str


def round_ticks(axis: Axis, about: int = 5, *, whole: bool = False) -> tuple[Tick, ...]:
    """Round numbers along an axis.

    >>> [t.text for t in round_ticks(Axis(0, 3, 0, 300), 6)]
    ['0', '0.5', '1', '1.5', '2', '2.5', '3']
    """
    return tuple(Tick(axis.place(v), _short(v)) for v in _round(axis, about, whole))


def _short(value: float) -> str:
    """A round number, so it is written as short as it can be."""
    short = f"{value:g}".replace("-", "−")
    return short if value == 0 or 0.001 <= abs(value) < 1e5 else number(value)


def decades(axis: Axis, about: int = 5, base: int = 10) -> tuple[Tick, ...]:
    """Powers of ``base`` along an axis whose data are exponents.

    >>> [(t.text, t.power) for t in decades(Axis(-10, 0, 0, 100), 2)]
    [('10', '−10'), ('10', '−5'), ('1', '')]
    """
    out = []
    for v in _round(axis, about, whole=True):
        power = f"{v:g}".replace("-", "−")
        out.append(Tick(axis.place(v), "1" if v == 0 else str(base), "" if v == 0 else power))
    return tuple(out)


def _round(axis: Axis, about: int, whole: bool) -> list[float]:
    span = axis.high - axis.low
    if span <= 0:
        return [axis.low]
    rough = span / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.75)
    if whole:
        step = max(1.0, round(step))
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [float(f"{i * step:.9g}") + 0.0 for i in range(first, last + 1)]


def path(x: Axis, y: Axis, points: Iterable[tuple[float, float | None]]) -> str:
    """A line through the points; a missing one leaves a gap.

    >>> path(Axis(0, 1, 0, 10), Axis(0, 1, 10, 0), [(0, 0.5), (0.5, None), (1, 1)])
    'M0 5M10 0'
    """
    parts: list[str] = []
    pen = "M"
    for at, value in points:
        if value is None or not math.isfinite(value):
            pen = "M"
            continue
        parts.append(f"{pen}{x.place(at):g} {y.place(value):g}")
        pen = "L"
    return "".join(parts)


def steps(x: Axis, y: Axis, edges: Sequence[float], heights: Sequence[float]) -> str:
    """The outline of a histogram, from the floor and back to it.

    >>> steps(Axis(0, 2, 0, 20), Axis(0, 4, 40, 0), [0, 1, 2], [4, 2])
    'M0 40V0H10V20H20V40'
    """
    parts = [f"M{x.place(edges[0]):g} {y.place(y.low):g}"]
    for edge, height in zip(edges[1:], heights, strict=True):
        parts.append(f"V{y.place(height):g}H{x.place(edge):g}")
    return "".join(parts) + f"V{y.place(y.low):g}"


def percent(share: float | None) -> str:
    """A share as per cent; what is there but tiny is not called nothing.

    >>> percent(0.25), percent(0.0), percent(3e-7), percent(None)
    ('25.0 %', '0', '<0.001 %', '–')
    """
    if share is None:
        return "–"
    if share == 0:
        return "0"
    return "<0.001 %" if share < 1e-5 else f"{number(100 * share)} %"
