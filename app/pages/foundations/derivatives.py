"""The derivatives' page: every function in small, and one in full."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from layerscope.app.foundations import Reading
from layerscope.app.foundations.derivatives import DERIVATIVES, Derivatives
from layerscope.app.pages.foundations.plot import Mark, Plot, Series, plot
from layerscope.app.pages.foundations.step import Step, shown, step_router
from layerscope.engine.foundations.calculus import Derivative

__all__ = ["STEP", "Card", "DerivativesPicture", "Full"]

ROUNDING = 2.0**-52  # the distance of float64 numbers just above 1
THINNED = 6
"""One point in so many is enough for a small drawing."""


@dataclass(frozen=True, slots=True)
class Card:
    """A function in small."""

    name: str
    query: str
    plot: Plot
    difference: str
    kinks: int


@dataclass(frozen=True, slots=True)
class Full:
    """The chosen function in full."""

    definition: Markup
    derivative: Markup
    function: Plot
    slope: Plot
    residual: Plot
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class DerivativesPicture:
    """What the template draws."""

    groups: tuple[tuple[str, tuple[Card, ...]], ...]
    full: Full | None


def _picture(reading: Reading, answer: Derivatives) -> DerivativesPicture:
    groups = tuple(
        (title, tuple(_card(reading, d) for d in answer.functions if d.kind == kind))
        for title, kind in (("Activations", "activation"), ("Losses", "loss"))
    )
    full = None
    if answer.chosen:
        names = [d.name for d in answer.functions]
        at = names.index(answer.chosen.derivative.name)
        around = (names[at - 1], names[(at + 1) % len(names)])
        full = _full(answer.chosen.derivative, *around)
    return DerivativesPicture(groups, full)


def _card(reading: Reading, d: Derivative) -> Card:
    x = d.x[::THINNED]
    series = [
        Series("φ", "forward", d.value[::THINNED]),
        Series("φ′", "backward", d.hand[::THINNED]),
    ]
    high = 3.0 if d.kind == "activation" else 6.0
    small = plot(x, series, y_range=(-2.0, high), width=120, height=72, axes=False)
    return Card(
        d.name, reading.query(name=d.name), small, shown(d.largest_difference), len(d.kinks)
    )


def _full(d: Derivative, before: str, after: str) -> Full:
    sign = "φ" if d.kind == "activation" else "ℓ"
    marks = []
    for kink in d.kinks:
        if kink.jumps:
            marks += [Mark(kink.x, kink.left, "", "kink"), Mark(kink.x, kink.right, "", "kink")]
        marks.append(Mark(kink.x, kink.chosen, f"{shown(kink.chosen)} at {kink.x:g}", "chosen"))
    gaps = [
        None if s is None else (s - h) / ROUNDING for s, h in zip(d.symbolic, d.hand, strict=True)
    ]
    reach = max(d.largest_difference / ROUNDING, 1.0)
    return Full(
        # Made by our own printer out of our own expressions: well-formed and escaped.
        definition=Markup(d.definition_mathml),  # noqa: S704
        derivative=Markup(d.derivative_mathml),  # noqa: S704
        function=plot(d.x, [Series(sign, "forward", d.value)]),
        slope=plot(
            d.x,
            [Series("by hand", "backward", d.hand), Series("by SymPy", "theory", d.symbolic)],
            marks,
        ),
        residual=plot(
            d.x,
            [Series("SymPy − hand", "backward", gaps)],
            y_range=(-1.2 * reach, 1.2 * reach),
            height=120,
        ),
        before=before,
        after=after,
    )


STEP = Step(
    "derivatives",
    "Derivatives",
    "Each activation and loss: the derivative SymPy finds beside the one written by hand.",
    step_router("derivatives", DERIVATIVES, _picture),
)
