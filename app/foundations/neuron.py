"""The neuron's question: inputs, weights, bias, activation."""

from __future__ import annotations

from layerscope.app.foundations.query import Field, FieldError, Question, choice, number, numbers
from layerscope.engine.foundations.errors import ShapeError
from layerscope.engine.foundations.neuron import MAX_INPUTS, Neuron, neuron
from layerscope.engine.layers import ACTIVATIONS

__all__ = ["NEURON"]

FAR = 1e6
"""Largest magnitude of a number that is typed: further out there is nothing to see."""


def _answer(inputs: list[float], weights: list[float], bias: float, activation: str) -> Neuron:
    try:
        return neuron(inputs, weights, bias, activation)
    except ShapeError as error:
        raise FieldError("weights", str(error)) from None


NEURON = Question(
    name="neuron",
    summary="One neuron, term by term",
    help="φ(Σ xᵢ·wᵢ + b): every product, the running sum, the output, how it changes with each "
    "input, weight and the bias, and the activation's curve around the operating point.",
    fields=(
        Field(
            "inputs", "Inputs", "1.0, 2.0, 3.0, 2.5", numbers(-FAR, FAR, MAX_INPUTS),
            f"The xᵢ, numbers separated by commas; at most {MAX_INPUTS}.", longest=2000,
        ),
        Field(
            "weights", "Weights", "0.2, 0.8, -0.5, 1.0", numbers(-FAR, FAR, MAX_INPUTS),
            "The wᵢ, as many as inputs.", longest=2000,
        ),
        Field(
            "bias", "Bias", "2.0", number(-FAR, FAR), "b, added once to the sum.",
            slider=(-5, 5, 0.1),
        ),
        Field(
            "activation", "Activation", "relu", choice(tuple(ACTIVATIONS)),
            "φ, what the sum is handed to.",
            options=tuple((name, f"{name}  {a.formula}") for name, a in ACTIVATIONS.items()),
        ),
    ),
    answer=_answer,
    example={"weighted_sum": 2.8, "bias": 2.0, "total": 4.8, "output": 4.8},
)  # fmt: skip
