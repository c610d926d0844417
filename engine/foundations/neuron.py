"""A neuron, term by term: the notes' ``sum([x*w for x, w in zip(inputs, weights)]) + bias``.

Computed in Python's own floats (float64), then handed to an activation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from layerscope.engine.foundations.errors import LimitError, ShapeError
from layerscope.engine.foundations.record import Record, value_text
from layerscope.engine.layers.activations import ACTIVATIONS

__all__ = ["MAX_INPUTS", "ActivationCurve", "Neuron", "Term", "neuron", "products"]

MAX_INPUTS = 64
"""Inputs of one neuron: each is a control and a line of the drawing."""
CURVE_POINTS = 121


@dataclass(frozen=True, slots=True)
class Term(Record):
    """One input times its weight, and the sum so far."""

    index: int
    input: float
    weight: float
    product: float
    running: float
    """The sum of the products up to and including this one, without the bias."""
    text: str
    """The term as arithmetic, ``2 × 0.5 = 1``."""


@dataclass(frozen=True, slots=True)
class ActivationCurve(Record):
    """The activation around the point where the neuron is, for drawing."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    derivative: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Neuron(Record):
    """Everything a neuron does with one set of inputs, and how its output would change."""

    terms: tuple[Term, ...]
    bias: float
    weighted_sum: float
    """Σ xᵢ·wᵢ."""
    total: float
    """Σ xᵢ·wᵢ + b, what the activation is given."""
    equation: str
    """The total as arithmetic, each product and then the bias: ``1 - 3 + 0.5 = -1.5``."""
    activation: str
    formula: str
    gradient_formula: str
    output: float
    derivative: float
    """φ' at the total, by the hand-written backward pass; equals ∂output/∂b."""
    input_gradients: tuple[float, ...]
    """∂output/∂xᵢ = φ'·wᵢ."""
    weight_gradients: tuple[float, ...]
    """∂output/∂wᵢ = φ'·xᵢ."""
    curve: ActivationCurve


def neuron(
    inputs: Sequence[float], weights: Sequence[float], bias: float, activation: str
) -> Neuron:
    """φ(Σ xᵢ·wᵢ + b), with every term of the sum.

    Args:
        inputs: the xᵢ, at most `MAX_INPUTS`.
        weights: the wᵢ, as many.
        bias: b.
        activation: which φ, a name of ``ACTIVATIONS``.

    Errors:
        `ShapeError` where inputs and weights differ in number; `LimitError`; ``KeyError`` for an
        unknown activation.

    >>> n = neuron([1.0, 2.0], [0.5, -1.0], 0.25, "relu")
    >>> [term.running for term in n.terms], n.total, n.output, n.derivative
    ([0.5, -1.5], -1.25, 0.0, 0.0)
    """
    if len(inputs) != len(weights):
        raise ShapeError(
            f"{len(inputs)} inputs but {len(weights)} weights; each input needs its weight"
        )
    if len(inputs) > MAX_INPUTS:
        raise LimitError("inputs of a neuron", MAX_INPUTS, len(inputs))
    phi = ACTIVATIONS[activation]
    terms = products(inputs, weights)
    weighted_sum = terms[-1].running if terms else 0.0
    total = weighted_sum + float(bias)
    point = torch.tensor([total], dtype=torch.float64)
    derivative = float(phi.derivative(point))
    return Neuron(
        terms=terms,
        bias=float(bias),
        weighted_sum=weighted_sum,
        total=total,
        equation=_sum_text([*(term.product for term in terms), float(bias)], total),
        activation=activation,
        formula=phi.formula,
        gradient_formula=phi.gradient_formula,
        output=float(phi.function(point)),
        derivative=derivative,
        input_gradients=tuple(derivative * term.weight for term in terms),
        weight_gradients=tuple(derivative * term.input for term in terms),
        curve=_curve(activation, total),
    )


def products(inputs: Sequence[float], weights: Sequence[float]) -> tuple[Term, ...]:
    """Each input times its weight, with the running sum; both of one length."""
    terms: list[Term] = []
    running = 0.0
    for index, (x, w) in enumerate(zip(map(float, inputs), map(float, weights), strict=True)):
        running += x * w
        text = f"{value_text(x)} × {value_text(w)} = {value_text(x * w)}"
        terms.append(Term(index, x, w, x * w, running, text))
    return tuple(terms)


def _sum_text(parts: Sequence[float], total: float) -> str:
    """``1 - 3 + 0.5 = -1.5``: signs become operators."""
    text = value_text(parts[0])
    for part in parts[1:]:
        negative = math.copysign(1.0, part) < 0
        text += f" {'-' if negative else '+'} {value_text(abs(part))}"
    return f"{text} = {value_text(total)}"


def _curve(activation: str, total: float) -> ActivationCurve:
    """φ and φ' from −6 to 6, or as far as the point lies."""
    reach = min(max(6.0, 1.25 * abs(total)), 1e6) if math.isfinite(total) else 6.0
    phi = ACTIVATIONS[activation]
    x = torch.linspace(-reach, reach, CURVE_POINTS, dtype=torch.float64)
    return ActivationCurve(
        tuple(x.tolist()), tuple(phi.function(x).tolist()), tuple(phi.derivative(x).tolist())
    )
