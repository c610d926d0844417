"""The smooth pieces of a function with kinks, as SymPy expressions, and their derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from layerscope.engine.foundations.calculus.subject import Subject
from layerscope.engine.foundations.record import Record

__all__ = ["Kink", "differentiate", "kinks_between", "piecewise", "smooth_pieces"]


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


def smooth_pieces(subject: Subject, x: Any, bounds: list[float]) -> list[Any]:
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


def differentiate(piece: Any, x: Any) -> Any:
    """SymPy's derivative; factored where it is rational, else as the chain rule leaves it."""
    import sympy

    slope = sympy.diff(piece, x)
    return sympy.factor(slope) if slope.is_rational_function(x) else slope


def kinks_between(
    subject: Subject, x: Any, bounds: list[float], slopes: list[Any]
) -> tuple[Kink, ...]:
    """Where the pieces meet: the slopes from both sides, and the hand-written one."""
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


def piecewise(pieces: list[Any], x: Any, bounds: list[float]) -> Callable[[float], float]:
    """The function made of ``pieces``, in float64; at a bound, the piece to its left."""
    import sympy

    functions = [sympy.lambdify(x, piece, modules="math") for piece in pieces]

    def evaluate(point: float) -> float:
        return float(functions[sum(bound < point for bound in bounds)](point))

    return evaluate
