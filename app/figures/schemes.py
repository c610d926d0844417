"""One init scheme as a small picture: weights in units of their std, signal by layer, same axes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.app.figures.axes import Tick
from layerscope.app.figures.text import number, raised
from layerscope.engine.foundations.schemes import AXIS, BINS, BlockSignal, SchemeResult

__all__ = ["HEIGHT", "LEFT", "WIDTH", "Panel", "Spike", "panel"]

WIDTH, HEIGHT = 280, 96
LEFT, RIGHT, TOP, BOTTOM = 30, 6, 8, 16
TALLEST = 0.48  # density per std: a normal's is 0.4, a uniform's 0.29; above is a spike's label
DECADES = 12  # of the signal, to either side of 1
INNER_WIDTH = WIDTH - LEFT - RIGHT
INNER_HEIGHT = HEIGHT - TOP - BOTTOM


@dataclass(frozen=True, slots=True)
class Spike:
    """A value that many weights have exactly: a spike at ``x``, ``beyond`` if it lies outside."""

    x: float
    y: float
    text: str
    beyond: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """Everything that ``partials/foundations/scheme.html`` draws."""

    result: SchemeResult
    words: str
    figures: tuple[tuple[str, str], ...]
    """What stands under the name: pairs of a label and a number."""
    bars: str
    curve: str
    spikes: tuple[Spike, ...]
    weights_x: tuple[Tick, ...]
    weights_text: str
    """The histogram in words."""
    signal: str
    """A path; empty where no layer is finite and nonzero."""
    fault: float | None
    """From here on nothing is finite (or all is zero, by ``outcome``)."""
    signal_x: tuple[Tick, ...]
    signal_y: tuple[Tick, ...]
    one: float
    """Where the signal is 1."""
    signal_text: str


def panel(result: SchemeResult, layers: int) -> Panel:
    """The picture of one scheme on a specification of so many ``layers``."""
    h = result.weight
    figures = [("intended", h.intended), ("std", f"{number(h.std)}")]
    if result.gain is not None:
        figures.append(("std·√n", number(result.gain)))
    return Panel(
        result=result,
        words=_powers(result.words),
        figures=tuple(figures),
        bars=_bars(h.density),
        curve=_curve(h.curve_x, h.curve),
        spikes=tuple(_spike(a.value / h.unit, a.share, a.value) for a in h.atoms),
        weights_x=tuple(Tick(_z(z), text) for z, text in ((-2, "−2σ"), (0, "0"), (2, "2σ"))),
        weights_text=_in_words(result),
        signal=_path(result.signal, layers),
        fault=None if result.until is None else round(_layer(result.until, layers), 1),
        signal_x=tuple(
            Tick(_layer(n, layers), str(n)) for n in sorted({1, (layers + 1) // 2, layers})
        ),
        signal_y=tuple(Tick(_decade(d), f"10{raised(d)}" if d else "1") for d in (-8, 0, 8)),
        one=_decade(0),
        signal_text=f"Std of the signal by layer: {_ends(result.signal)}. {_powers(result.words)}.",
    )


def _powers(text: str) -> str:
    """``4.67e-08`` as ``4.67×10⁻⁸``, as everywhere on the pages."""
    return re.sub(r"e([+-]\d+)", lambda found: f"×10{raised(int(found[1]))}", text)


def _z(z: float) -> float:
    return round(LEFT + (z + AXIS) / (2 * AXIS) * INNER_WIDTH, 1)


def _density(value: float) -> float:
    return round(TOP + INNER_HEIGHT * (1 - min(value / TALLEST, 1.0)), 1)


def _layer(block: int, layers: int) -> float:
    return round(LEFT + (block - 1) / max(1, layers - 1) * INNER_WIDTH, 1)


def _decade(power: float) -> float:
    share = (max(-DECADES, min(DECADES, power)) + DECADES) / (2 * DECADES)
    return round(TOP + INNER_HEIGHT * (1 - share), 1)


def _bars(density: Sequence[float]) -> str:
    floor = TOP + INNER_HEIGHT
    wide = INNER_WIDTH / BINS
    parts = []
    for place, value in enumerate(density):
        if value > 0:
            left, top = LEFT + place * wide, _density(value)
            parts.append(f"M{left:.1f} {floor}V{top}h{wide - 0.5:.1f}V{floor}z")
    return "".join(parts)


def _curve(x: Sequence[float], y: Sequence[float]) -> str:
    points = [f"{_z(a)} {_density(b)}" for a, b in zip(x, y, strict=True)]
    return "M" + "L".join(points) if points else ""


def _spike(z: float, share: float, value: float) -> Spike:
    beyond = abs(z) > AXIS
    x = _z(max(-AXIS, min(AXIS, z)))
    y = round(TOP + INNER_HEIGHT * (1 - max(share, 0.04)), 1)
    return Spike(x, y, f"{100 * share:.3g} % exactly {value:.3g}", beyond)


def _path(signal: Sequence[BlockSignal], layers: int) -> str:
    """Pieces of line through the layers that are finite and not zero; one alone is a dot."""
    pieces: list[list[str]] = [[]]
    for s in signal:
        size = s.std or s.rms
        if size and not s.nonfinite:
            pieces[-1].append(f"{_layer(s.block, layers)} {_decade(math.log10(size))}")
        elif pieces[-1]:
            pieces.append([])
    return "".join("M" + "L".join(p if len(p) > 1 else p * 2) for p in pieces if p)


def _ends(signal: Sequence[BlockSignal]) -> str:
    first, last = signal[0], signal[-1]
    return f"{number(first.std)} after layer 1, {number(last.std)} after layer {last.block}"


def _in_words(result: SchemeResult) -> str:
    h = result.weight
    shape = f"{h.shape[0]}×{h.shape[1]}"
    spikes = "".join(f"; {_spike(0, a.share, a.value).text}" for a in h.atoms)
    outside = h.below + h.above
    beyond = f"; {outside} beyond ±{AXIS:g}σ" if outside else ""
    moments = f"mean {number(h.mean)}, std {number(h.std)}"
    return f"Histogram of the first layer's {shape} weights, {moments}{spikes}{beyond}."
