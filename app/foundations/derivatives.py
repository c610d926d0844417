"""Every derivative: each function in small, and one in full."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import cache
from typing import Any

from markupsafe import Markup

from layerscope.app.figures.plot import Mark, Plot, Series, plot
from layerscope.app.figures.text import shown
from layerscope.app.forms import Form
from layerscope.app.foundations.step import Step
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.source import source_text
from layerscope.engine.basis.specification import Specification, parameter
from layerscope.engine.foundations.calculus import Derivative, derivative_of, differentiable
from layerscope.engine.layers import ACTIVATIONS
from layerscope.engine.layers.losses import LOSSES

__all__ = ["STEP", "Card", "Derivatives", "DerivativesForm", "DerivativesPicture", "Detail", "Full"]


class DerivativesForm(Specification):
    """Which function to show in full."""

    name: str = parameter(
        "", "Function", "Which activation or loss to show in full; empty: none.",
        options=lambda: {"": {"text": "all of them"}, **{name: {} for name in differentiable()}},
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Detail:
    """One derivative with the code that is compared."""

    derivative: Derivative
    code: str
    """The class itself: forward and hand-written backward pass."""
    reference: str
    """PyTorch's operator, which autograd is asked about, as the class names it."""

    def to_dict(self) -> dict[str, Any]:
        return {**self.derivative.to_dict(), "code": self.code, "reference": self.reference}


@dataclass(frozen=True, slots=True)
class Derivatives:
    """Every function, and the one that was asked for."""

    functions: tuple[Derivative, ...]
    chosen: Detail | None

    def to_dict(self) -> dict[str, Any]:
        """``functions``, each in brief, and ``chosen`` in full or None."""
        brief = (
            "name", "kind", "formula", "gradient_formula", "definition_text", "derivative_text",
            "largest_difference", "compared", "kinks", "subgradient",
        )  # fmt: skip
        records = [f.to_dict() for f in self.functions]
        return {
            "functions": [{key: record[key] for key in brief} for record in records],
            "chosen": self.chosen,
        }


@cache
def _detail(name: str) -> Detail:
    entry: Any = ACTIVATIONS[name] if name in ACTIVATIONS else LOSSES[name]
    reference = textwrap.dedent(source_text(entry.reference))
    return Detail(derivative_of(name), source_text(entry).rstrip(), reference.rstrip())


def _answer(asked: DerivativesForm, _: ShouldStop) -> Derivatives:
    every = tuple(derivative_of(each) for each in differentiable())
    return Derivatives(every, _detail(asked.name) if asked.name else None)


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


def _picture(form: Form[DerivativesForm], answer: Derivatives) -> DerivativesPicture:
    groups = tuple(
        (title, tuple(_card(form, d) for d in answer.functions if d.kind == kind))
        for title, kind in (("Activations", "activation"), ("Losses", "loss"))
    )
    if not answer.chosen:
        return DerivativesPicture(groups, None)
    names = [d.name for d in answer.functions]
    at = names.index(answer.chosen.derivative.name)
    around = (names[at - 1], names[(at + 1) % len(names)])
    return DerivativesPicture(groups, _full(answer.chosen.derivative, *around))


def _card(form: Form[DerivativesForm], d: Derivative) -> Card:
    x, value, hand = (each[::THINNED] for each in (d.x, d.value, d.hand))
    series = [Series("φ", "forward", value), Series("φ′", "backward", hand)]
    high = 3.0 if d.kind == "activation" else 6.0
    small = plot(x, series, y_range=(-2.0, high), width=120, height=72, axes=False)
    return Card(d.name, form.query(name=d.name), small, shown(d.largest_difference), len(d.kinks))


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
    reach = 1.2 * max(d.largest_difference / ROUNDING, 1.0)
    residual = Series("SymPy − hand", "backward", gaps)
    slopes = [Series("by hand", "backward", d.hand), Series("by SymPy", "theory", d.symbolic)]
    return Full(
        # Made by our own printer out of our own expressions: well-formed and escaped.
        definition=Markup(d.definition_mathml),  # noqa: S704
        derivative=Markup(d.derivative_mathml),  # noqa: S704
        function=plot(d.x, [Series(sign, "forward", d.value)]),
        slope=plot(d.x, slopes, marks),
        residual=plot(d.x, [residual], y_range=(-reach, reach), height=120),
        before=before,
        after=after,
    )


STEP = Step(
    name="derivatives",
    title="Derivatives",
    lead="Each activation and loss: the derivative SymPy finds beside the one written by hand.",
    form=DerivativesForm,
    answer=_answer,
    picture=_picture,
    summary="Every derivative: by SymPy, and by hand",
    help="`functions`: each activation and loss in brief, with the largest difference between "
    "SymPy's derivative and the hand-written one. `chosen`: the one called `name` in full, with "
    "both curves, MathML, kinks and source.",
    example={"functions": [{"name": "relu", "largest_difference": 0.0}], "chosen": None},
)
