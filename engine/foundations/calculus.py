"""Derivatives: what SymPy finds for every activation and loss, beside the one written by hand.

Only expressions of our own reach SymPy: a name is looked up in the registries, nothing is parsed.
SymPy works on each smooth piece by itself, so that no Heaviside or Dirac function appears where a
function has a kink; at the kink the derivatives from both sides stand beside the one chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from layerscope.engine.foundations.record import Record
from layerscope.engine.layers.activations import ACTIVATIONS, Activation
from layerscope.engine.losses import LOSSES, Loss

__all__ = ["GRID", "TARGET", "Derivative", "Kink", "derivative_of", "differentiable"]

GRID: tuple[float, ...] = tuple((step - 240) / 40 for step in range(481))
"""From −6 to 6 by 0.025, every multiple of 1/2 exactly: kinks fall on the grid and are marked."""
TARGET = 0.5
"""The target t (for cross entropy the other class's logit) at which a loss is drawn."""


@dataclass(frozen=True, slots=True)
class Kink(Record):
    """A place where two smooth pieces meet."""

    x: float
    left: float
    """Symbolic derivative coming from the left."""
    right: float
    chosen: float
    """What the hand-written backward pass returns here."""
    jumps: bool
    """False where both sides agree and nothing had to be chosen."""


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


@dataclass(frozen=True, slots=True)
class _Subject:
    """What differs between an activation and a loss."""

    entry: type[Activation] | type[Loss]
    kind: str
    variables: str
    symbol: str
    expression: Any
    fixed: dict[Any, float]
    """Values of the symbols other than x."""
    boundaries: list[Any]
    function: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


def differentiable() -> tuple[str, ...]:
    """The name of every activation and loss that `derivative_of` takes, in registration order."""
    return (*ACTIVATIONS, *LOSSES)


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
    subject = _subject(name, x)
    bounds = [float(bound.subs(subject.fixed)) for bound in subject.boundaries]
    pieces = _pieces(subject, x, bounds)
    slopes = [_differentiate(piece, x) for piece in pieces]
    grid = torch.tensor(GRID, dtype=torch.float64)
    hand: list[float] = subject.slope(grid).tolist()
    value: list[float] = subject.function(grid).tolist()
    kinks = _kinks(subject, x, bounds, slopes)
    jumps = {kink.x for kink in kinks if kink.jumps}
    at_slopes = _evaluate([slope.subs(subject.fixed) for slope in slopes], x, bounds)
    at_values = _evaluate([piece.subs(subject.fixed) for piece in pieces], x, bounds)
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


def _subject(name: str, x: Any) -> _Subject:
    import sympy

    if name in ACTIVATIONS:
        activation = ACTIVATIONS[name]
        return _Subject(
            entry=activation,
            kind="activation",
            variables="x: the layer's input",
            symbol="φ",
            expression=activation.symbolic(x),
            fixed={},
            boundaries=[sympy.nsimplify(kink) for kink in activation.kinks],
            function=activation.function,
            slope=activation.derivative,
        )
    if name not in LOSSES:
        known = ", ".join(differentiable())
        raise KeyError(f"unknown activation or loss {name!r}; expected one of: {known}")
    loss = LOSSES[name]
    t = sympy.Symbol("t", real=True)
    meaning = "the target"
    if loss.classifies:
        meaning = "the other's, of two classes"
    return _Subject(
        entry=loss,
        kind="loss",
        variables=f"x: {'the right class’s logit' if loss.classifies else 'the output'}; "
        f"t: {meaning}, drawn at t = {TARGET}",
        symbol="ℓ",
        expression=loss.symbolic(x, t),
        fixed={t: TARGET},
        boundaries=[t + sympy.nsimplify(kink) for kink in loss.kinks],
        function=lambda points: _terms(loss, points),
        slope=lambda points: loss.slope(points, TARGET),
    )


def _terms(loss: type[Loss], points: Tensor) -> Tensor:
    """The loss of every point alone: a batch of one sample."""
    if loss.classifies:
        right = torch.zeros(1, dtype=torch.long)
        other = torch.full_like(points, TARGET)
        samples = torch.stack([points, other], dim=1)[:, None]  # (n, 1, 2)
        return torch.stack([loss.function(sample, right) for sample in samples])
    target = points.new_full((1, 1), TARGET)
    return torch.stack([loss.function(point[None, None], target) for point in points])


def _pieces(subject: _Subject, x: Any, bounds: list[float]) -> list[Any]:
    """The smooth expression that holds between each two kinks, from left to right."""
    inner = [(low + high) / 2 for low, high in pairwise(bounds)]
    samples = [bounds[0] - 1, *inner, bounds[-1] + 1] if bounds else [1.0]
    return [_branch(subject.expression, {**subject.fixed, x: sample}) for sample in samples]


def _branch(expression: Any, at: dict[Any, float]) -> Any:
    """``expression`` with its branch ``at`` a point for every Max, Min, Abs and Piecewise."""
    import sympy

    if isinstance(expression, sympy.Max | sympy.Min):
        choose = max if isinstance(expression, sympy.Max) else min
        return _branch(choose(expression.args, key=lambda a: float(a.subs(at))), at)
    if isinstance(expression, sympy.Abs):
        inside = _branch(expression.args[0], at)
        return inside if float(inside.subs(at)) >= 0 else -inside
    if isinstance(expression, sympy.Piecewise):
        piece = next(e for e, condition in expression.args if condition.subs(at) == sympy.true)
        return _branch(piece, at)
    if not expression.args:
        return expression
    return expression.func(*(_branch(argument, at) for argument in expression.args))


def _differentiate(piece: Any, x: Any) -> Any:
    """SymPy's derivative; factored where it is rational, else as the chain rule leaves it."""
    import sympy

    slope = sympy.diff(piece, x)
    return sympy.factor(slope) if slope.is_rational_function(x) else slope


def _kinks(subject: _Subject, x: Any, bounds: list[float], slopes: list[Any]) -> tuple[Kink, ...]:
    if not bounds:
        return ()
    chosen = subject.slope(torch.tensor(bounds, dtype=torch.float64)).tolist()
    result = []
    for number, bound in enumerate(bounds):
        at = {**subject.fixed, x: bound}
        left, right = (float(slopes[number + side].subs(at)) for side in (0, 1))
        jumps = abs(left - right) > 1e-9 * max(1.0, abs(left), abs(right))
        result.append(Kink(bound, left, right, chosen[number], jumps))
    return tuple(result)


def _evaluate(pieces: list[Any], x: Any, bounds: list[float]) -> Callable[[float], float]:
    """The function made of ``pieces``, in float64; at a bound, the piece to its left."""
    import sympy

    functions = [sympy.lambdify(x, piece, modules="math") for piece in pieces]

    def evaluate(point: float) -> float:
        return float(functions[sum(bound < point for bound in bounds)](point))

    return evaluate


def _conditions(
    slopes: list[Any], boundaries: list[Any], kinks: tuple[Kink, ...]
) -> list[tuple[Any, str]]:
    """Each slope with the interval where it holds; a kink that jumps belongs to neither side."""
    from layerscope.engine.foundations.mathml import text

    if not boundaries:
        return [(slopes[0], "")]
    signs = ["<" if kink.jumps else "≤" for kink in kinks]
    names = [text(bound) for bound in boundaries]
    conditions = [f"x {signs[0]} {names[0]}"]
    for (left, right), sign in zip(pairwise(names), signs[1:], strict=True):
        conditions.append(f"{left} < x {sign} {right}")
    conditions.append(f"x > {names[-1]}")
    return list(zip(slopes, conditions, strict=True))


def _notation(subject: _Subject, branches: list[tuple[Any, str]]) -> dict[str, str]:
    """Definition and derivative as plain text and as MathML."""
    from layerscope.engine.foundations.mathml import equation, text

    arguments = "(x, t)" if subject.kind == "loss" else "(x)"
    slope_name = f"∂{subject.symbol}/∂x" if subject.kind == "loss" else f"{subject.symbol}′(x)"
    smooth = len(branches) == 1
    slope = branches[0][0] if smooth else branches
    return {
        "definition_text": text(subject.expression),
        "definition_mathml": equation(f"{subject.symbol}{arguments}", subject.expression),
        "derivative_text": text(slope),
        "derivative_mathml": equation(slope_name, slope),
    }
