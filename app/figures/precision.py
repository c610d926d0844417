"""Where a network's numbers lie: a violin of exponents per layer, formats' limits as lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.app.figures.axes import Axis, Frame, decades, round_ticks
from layerscope.app.figures.text import raised
from layerscope.engine.analyses.precision import FORMATS, Kind, TensorSummary

__all__ = ["ExponentPicture", "Limit", "Ruler", "Violin", "exponent_picture"]

LEFT, TOP, BOTTOM = 46.0, 12.0, 34.0
PLOT = 480.0  # width of the part with the layers
RULER = 17.0  # width of a format's bar beside it
HEIGHT = 330.0
APART = 11.0  # closer lines would cover each other's names
MOST = 60
"""Violins: more would be narrower than a pixel on a phone; then every second, third … layer."""
SHOWN = (-26.0, 18.0)
"""Exponents always in sight: the range of float16 and of the 8-bit formats."""
SHORT = {"float32": "f32", "bfloat16": "bf16", "float16": "f16", "float8_e5m2": "e5m2",
         "float8_e4m3fn": "e4m3"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Violin:
    """One layer: an outline mirrored about its middle, and where it is not finite or all zero."""

    block: int
    path: str
    x: float
    width: float
    state: str
    """``nan``: has entries that are not finite; ``zero``: all zero; empty otherwise."""
    text: str


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest number of a format, or its smallest, as a line across the layers."""

    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Ruler:
    """A format beside the chart: its normal range solid, its subnormal range hatched."""

    name: str
    short: str
    x: float
    width: float
    top: float
    normal: float
    """Height of the normal range."""
    below: float
    """Where the subnormal range starts, going down."""
    subnormal: float


@dataclass(frozen=True, slots=True)
class ExponentPicture(Frame):
    """Everything of one drawing."""

    kind: str
    title: str
    css: str
    violins: tuple[Violin, ...]
    limits: tuple[Limit, ...]
    rulers: tuple[Ruler, ...]
    every: int
    text: str


def exponent_picture(kind: Kind, title: str, seen: Sequence[TensorSummary]) -> ExponentPicture:
    """The picture of all tensors of a kind, one violin per block: of its activations and gradients
    the last layer's, of its parameters the weight."""
    main = sorted(
        (t for t in seen if (t.ends_block if not t.parameter else _is_weight(t))),
        key=lambda t: t.block,
    )
    every = max(1, -(-len(main) // MOST))
    shown = main[::every]
    low, high = _range(main)
    right = LEFT + PLOT
    y = Axis(low, high, HEIGHT - BOTTOM, TOP)
    blocks = max((t.block for t in main), default=1)
    x = Axis(0.5, blocks + every - 0.5, LEFT, right)
    half = PLOT / max(1, len(shown)) * 0.46
    return ExponentPicture(
        kind=kind, title=title,
        css={"activation": "forward", "weight": "neutral"}.get(kind, "backward"),
        width=right + len(FORMATS) * RULER + 8, height=HEIGHT,
        left=LEFT, right=right, top=TOP, bottom=HEIGHT - BOTTOM,
        x_ticks=tuple(t for t in round_ticks(x, 6, whole=True) if t.at >= LEFT),
        y_ticks=decades(y, 6, base=2),
        violins=tuple(_violin(t, x.place(t.block + (every - 1) / 2), half, y) for t in shown),
        limits=tuple(_limits(y)), rulers=tuple(_rulers(y, right + 6)), every=every,
        text=_words(title, main),
    )  # fmt: skip


def _is_weight(t: TensorSummary) -> bool:
    return t.parameter == "weight" and t.name.startswith("linear")


def _range(seen: Sequence[TensorSummary]) -> tuple[float, float]:
    low, high = SHOWN
    for t in seen:
        h = t.statistics.histogram
        if h.positive.size:
            low, high = min(low, h.first - 1.0), max(high, h.exponents.stop + 1.0)
    return low, high


def _violin(t: TensorSummary, middle: float, half: float, y: Axis) -> Violin:
    s = t.statistics
    h = s.histogram
    counts = (h.positive + h.negative).tolist()
    top = max(counts, default=1)
    right, left = [], []
    for exponent, count in zip(h.exponents, counts, strict=True):
        reach = half * count / top
        # Sparse powers of two stay visible: a third of a pixel at least.
        reach = max(reach, 0.3) if count else 0.0
        for edge in (exponent, exponent + 1):
            right.append(f"{middle + reach:.4g} {y.place(edge):.4g}")
            left.append(f"{middle - reach:.4g} {y.place(edge):.4g}")
    outline = "M" + "L".join([*right, *reversed(left)]) + "Z" if right else ""
    lost = s.count - s.finite
    state = "nan" if lost else "zero" if s.zeros == s.count else ""
    ends = f"2{raised(h.first)} to 2{raised(h.exponents.stop)}"
    span = ends if counts else "no nonzero finite entry"
    more = f", {lost} not finite" if lost else ""
    words = f"{t.name}: {span}, {s.zeros} of {s.count} zero{more}"
    return Violin(t.block, outline, round(middle, 2), round(half, 2), state, words)


def _limits(y: Axis) -> list[Limit]:
    found: list[Limit] = []
    for name, largest, smallest in (
        ("float16", "float16, e5m2 max", "float16 smallest"),
        ("float8_e4m3fn", "e4m3 max", "e4m3 smallest"),
        ("float32", "float32, bfloat16 max", "float32 smallest"),
    ):
        f = FORMATS[name]
        for exponent, text in ((f.max_exponent + 1, largest), (f.least_exponent, smallest)):
            at = y.place(exponent)
            if y.low < exponent < y.high and all(abs(at - other.y) > APART for other in found):
                found.append(Limit(at, text))
    return found


def _rulers(y: Axis, start: float) -> list[Ruler]:
    found = []
    for i, f in enumerate(FORMATS.values()):
        top, floor, bottom = (
            y.place(max(y.low, min(y.high, exponent)))
            for exponent in (f.max_exponent + 1, f.min_exponent, f.least_exponent)
        )
        found.append(
            Ruler(
                f.name, SHORT[f.name], round(start + i * RULER, 2), RULER - 4, top,
                round(floor - top, 2), floor, round(bottom - floor, 2),
            )
        )  # fmt: skip
    return found


def _words(title: str, seen: Sequence[TensorSummary]) -> str:
    some = [t.statistics.histogram for t in seen if t.statistics.histogram.positive.size]
    if not some:
        return f"{title}: no nonzero finite entry in any layer."
    first, last = some[0], some[-1]
    return (
        f"{title} by power of two: from 2^{first.first} to 2^{first.exponents.stop} in the first "
        f"layer, from 2^{last.first} to 2^{last.exponents.stop} in the last."
    )
