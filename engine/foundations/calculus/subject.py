"""What can be differentiated: an activation, or one entry's term of a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from layerscope.engine.layers.activations import ACTIVATIONS, Activation
from layerscope.engine.layers.losses import LOSSES, Loss

__all__ = ["TARGET", "Subject", "differentiable", "subject_of"]

TARGET = 0.5
"""The target t (for cross entropy the other class's logit) at which a loss is drawn."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What differs between an activation and a loss."""

    entry: type[Activation] | type[Loss]
    kind: str
    variables: str
    notation: str
    """The function at its arguments."""
    slope_notation: str
    expression: Any
    fixed: dict[Any, float]
    """Values of the symbols other than x."""
    boundaries: list[Any]
    function: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


def differentiable() -> tuple[str, ...]:
    """The name of every activation and loss that `derivative_of` takes, in registration order."""
    return (*ACTIVATIONS, *LOSSES)


def subject_of(name: str, x: Any) -> Subject:
    """The activation or loss called ``name`` as a function of the SymPy symbol ``x``.

    Errors: ``KeyError`` for a name in neither registry.
    """
    import sympy

    if name in ACTIVATIONS:
        activation = ACTIVATIONS[name]
        return Subject(
            entry=activation,
            kind="activation",
            variables="x: the layer's input",
            notation="φ(x)",
            slope_notation="φ′(x)",
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
    return Subject(
        entry=loss,
        kind="loss",
        variables=f"x: {'the right class’s logit' if loss.classifies else 'the output'}; "
        f"t: {meaning}, drawn at t = {TARGET}",
        notation="ℓ(x, t)",
        slope_notation="∂ℓ/∂x",
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
