"""The derivatives' question: every activation and loss, and one of them in full."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import cache
from typing import Any

from layerscope.app.foundations.query import Field, Question, choice
from layerscope.engine.basis.source import source_text
from layerscope.engine.foundations.calculus import Derivative, derivative_of, differentiable
from layerscope.engine.layers import ACTIVATIONS
from layerscope.engine.losses import LOSSES

__all__ = ["DERIVATIVES", "Derivatives", "Detail"]


@dataclass(frozen=True, slots=True)
class Detail:
    """One derivative with the code that is compared."""

    derivative: Derivative
    code: str
    """The class itself: forward and hand-written backward pass."""
    reference: str
    """PyTorch's operator, which autograd is asked about, as the class names it."""

    def to_dict(self) -> dict[str, Any]:
        """The engine's record, with ``code`` and ``reference`` beside it."""
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
            "chosen": self.chosen.to_dict() if self.chosen else None,
        }


@cache
def _detail(name: str) -> Detail:
    entry: Any = ACTIVATIONS[name] if name in ACTIVATIONS else LOSSES[name]
    reference = textwrap.dedent(source_text(entry.reference))
    return Detail(derivative_of(name), source_text(entry).rstrip(), reference.rstrip())


def _answer(name: str) -> Derivatives:
    every = tuple(derivative_of(each) for each in differentiable())
    return Derivatives(every, _detail(name) if name else None)


DERIVATIVES = Question(
    name="derivatives",
    summary="Every derivative: by SymPy, and by hand",
    help="`functions`: each activation and loss in brief, with the largest difference between "
    "SymPy's derivative and the hand-written one. `chosen`: the one called `name` in full, with "
    "both curves, MathML, kinks and source.",
    fields=(
        Field(
            "name", "Function", "", choice(("", *differentiable())),
            "Which activation or loss to show in full; empty: none.",
            options=(("", "all of them"), *((name, name) for name in differentiable())),
        ),
    ),
    answer=_answer,
    example={"functions": [{"name": "relu", "largest_difference": 0.0}], "chosen": None},
)  # fmt: skip
