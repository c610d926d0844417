"""Derivatives: what SymPy finds for every activation and loss, beside the one written by hand.

Only expressions of our own reach SymPy: a name is looked up in the registries, nothing is parsed.
SymPy works on each smooth piece by itself, so that no Heaviside or Dirac function appears where a
function has a kink; at the kink the derivatives from both sides stand beside the one chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch

from layerscope.engine.foundations.calculus.pieces import (
    Kink,
    differentiate,
    kinks_between,
    piecewise,
    smooth_pieces,
)
from layerscope.engine.foundations.calculus.subject import Subject, subject_of
from layerscope.engine.foundations.record import Record

__all__ = ["GRID", "Derivative", "derivative_of"]

GRID: tuple[float, ...] = tuple((step - 240) / 40 for step in range(481))
"""From −6 to 6 by 0.025, every multiple of 1/2 exactly: kinks fall on the grid and are marked."""


@dataclass(frozen=True, slots=True)
class Derivative(Record):
    """A function, its symbolic and its hand-written derivative, and both on the grid."""

    name: str
    kind: str
    """``activation`` or ``loss``."""
    source: str
    help: str
    formula: str
    """The function as its class states it."""
    gradient_formula: str
    """The hand-written backward pass as its class states it."""
    variables: str
    """What x, and t where there is one, stand for."""
    definition_text: str
    definition_mathml: str
    derivative_text: str
    """SymPy's derivative, in plain text."""
    derivative_mathml: str
    x: tuple[float, ...]
    value: tuple[float, ...]
    """The function at every x, by the hand-written forward pass in float64."""
    symbolic: tuple[float | None, ...]
    """SymPy's derivative at every x; None at a kink where it jumps."""
    hand: tuple[float, ...]
    """The hand-written derivative at every x, in float64."""
    largest_difference: float
    """Of symbolic and hand-written derivative, over the grid without the jumps."""
    largest_difference_at: float
    largest_value_difference: float
    """Of the symbolic definition and the hand-written forward pass."""
    compared: int
    """Points compared: the grid's, less one for every jump."""
    kinks: tuple[Kink, ...]
    subgradient: str
    """Which derivative is chosen at the kinks, in words; empty where there is none."""


@lru_cache(maxsize=256)
def derivative_of(name: str) -> Derivative:
    """The derivative of the activation or loss called ``name``; kept once computed.

    A loss is one entry's term, without the mean over the batch, as a function of the output x.

    Errors:
        ``KeyError`` for a name in neither registry.

    >>> derivative_of("tanh").derivative_text
    '1 - tanh(x)**2'
    >>> [(kink.left, kink.right, kink.chosen) for kink in derivative_of("relu").kinks]
    [(0.0, 1.0, 0.0)]
    """
    import sympy

    x = sympy.Symbol("x", real=True)
    subject = subject_of(name, x)
    bounds = [float(bound.subs(subject.fixed)) for bound in subject.boundaries]
    pieces = smooth_pieces(subject, x, bounds)
    slopes = [differentiate(piece, x) for piece in pieces]
    grid = torch.tensor(GRID, dtype=torch.float64)
    hand: list[float] = subject.slope(grid).tolist()
    value: list[float] = subject.function(grid).tolist()
    kinks = kinks_between(subject, x, bounds, slopes)
    jumps = {kink.x for kink in kinks if kink.jumps}
    at_slopes = piecewise([slope.subs(subject.fixed) for slope in slopes], x, bounds)
    at_values = piecewise([piece.subs(subject.fixed) for piece in pieces], x, bounds)
    symbolic = tuple(None if point in jumps else at_slopes(point) for point in GRID)
    gaps = [
        (abs(s - h), point)
        for point, s, h in zip(GRID, symbolic, hand, strict=True)
        if s is not None
    ]
    largest, where = max(gaps)
    branches = _conditions(slopes, subject.boundaries, kinks)
    return Derivative(
        name=name,
        kind=subject.kind,
        source=subject.entry.source,
        help=subject.entry.help,
        formula=subject.entry.formula,
        gradient_formula=subject.entry.gradient_formula,
        variables=subject.variables,
        **_notation(subject, branches),
        x=GRID,
        value=tuple(value),
        symbolic=symbolic,
        hand=tuple(hand),
        largest_difference=largest,
        largest_difference_at=where,
        largest_value_difference=max(
            abs(at_values(point) - v) for point, v in zip(GRID, value, strict=True)
        ),
        compared=len(gaps),
        kinks=kinks,
        subgradient=subject.entry.subgradient,
    )


def _conditions(
    slopes: list[Any], boundaries: list[Any], kinks: tuple[Kink, ...]
) -> list[tuple[Any, str]]:
    """Each slope with the interval where it holds; a kink that jumps belongs to neither side."""
    from layerscope.engine.foundations.calculus.mathml import text

    if not boundaries:
        return [(slopes[0], "")]
    signs = ["<" if kink.jumps else "≤" for kink in kinks]
    names = [text(bound) for bound in boundaries]
    conditions = [f"x {signs[0]} {names[0]}"]
    for (left, right), sign in zip(pairwise(names), signs[1:], strict=True):
        conditions.append(f"{left} < x {sign} {right}")
    conditions.append(f"x > {names[-1]}")
    return list(zip(slopes, conditions, strict=True))


def _notation(subject: Subject, branches: list[tuple[Any, str]]) -> dict[str, str]:
    """Definition and derivative as plain text and as MathML."""
    from layerscope.engine.foundations.calculus.mathml import equation, text

    smooth = len(branches) == 1
    slope = branches[0][0] if smooth else branches
    return {
        "definition_text": text(subject.expression),
        "definition_mathml": equation(subject.notation, subject.expression),
        "derivative_text": text(slope),
        "derivative_mathml": equation(subject.slope_notation, slope),
    }
