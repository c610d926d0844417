"""What a loss is, and the registry that holds all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from layerscope.engine.basis.narrow import widened
from layerscope.engine.basis.registry import Registry
from layerscope.engine.basis.symbolic import sympy
from layerscope.engine.layers.losses.theory import LossTheory

__all__ = ["LOSSES", "REDUCTIONS", "Loss"]

REDUCTIONS: Mapping[str, Mapping[str, str]] = {
    "mean": {
        "formula": "mean", "source": "PyTorch's default",
        "help": "The gradient does not depend on how many samples there are.",
    },
    "sum": {
        "formula": "sum", "source": "PyTorch's reduction='sum'",
        "help": "Gradients grow with the batch: so does the learning rate that they come to.",
    },
}  # fmt: skip
"""How the terms of a loss become one number."""


class Loss(ABC):
    """A number made of an output (batch, k) and a target, with its gradient by the output."""

    name: ClassVar[str]
    formula: ClassVar[str]
    gradient_formula: ClassVar[str]
    source: ClassVar[str]
    help: ClassVar[str]
    classifies: ClassVar[bool] = False
    """True: the target holds class numbers (batch,); False: numbers of the output's shape."""
    degree: ClassVar[int] = 1
    """The power of a large output with which the loss grows."""
    kinks: ClassVar[tuple[float, ...]] = ()
    """Values of x − t at which the derivative jumps."""
    subgradient: ClassVar[str] = ""
    theory: ClassVar[LossTheory | None] = None
    """What mean-field theory must know of the gradient; None: it has nothing to say of it."""

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction
        self.scale = 1.0
        """What ``backward`` multiplies with, before it rounds to the output's format."""
        self._saved: tuple[Tensor, Tensor] | None = None

    @staticmethod
    @abstractmethod
    def function(output: Tensor, target: Tensor) -> Tensor:
        """The loss, 0-d, of ``output`` (batch, k) and ``target`` of equal shape or (batch,)."""

    @staticmethod
    @abstractmethod
    def gradient(output: Tensor, target: Tensor) -> Tensor:
        """∂L/∂output, of the shape of ``output``."""

    @staticmethod
    @abstractmethod
    def reference(output: Tensor, target: Tensor) -> Tensor:
        """The same loss by PyTorch's own operator: what autograd is asked about."""

    @staticmethod
    @abstractmethod
    def symbolic(x: sympy.Symbol, t: sympy.Symbol) -> sympy.Expr:
        """One entry's term: ``x`` the output, ``t`` the target (or the other class's logit)."""

    @classmethod
    def constant(cls, target: Tensor) -> float:
        """The mean loss of an output that is the same for every sample: the target's mean."""
        wide = target.double()
        return float(cls.function(wide.mean(0).expand_as(wide), wide))

    @classmethod
    def terms(cls, batch: int, outputs: int) -> int:
        """How many terms the loss is the mean of."""
        return batch if cls.classifies else batch * outputs

    def factor(self, target: Tensor) -> int:
        """What the mean is multiplied with: the number of its terms, for the sum of them."""
        return target.numel() if self.reduction == "sum" else 1

    def baseline(self, target: Tensor) -> float:
        """The loss of the same output for every sample, as this one reduces it.

        What a network must get below to have learned anything. ``target``: (batch, k), or (batch,)
        of classes.
        """
        return self.factor(target) * self.constant(target)

    @classmethod
    def slope(cls, x: Tensor, t: float) -> Tensor:
        """Derivative of one entry's term at every ``x`` (n,), by the hand-written backward pass."""
        return cls.gradient(x[:, None], torch.full_like(x, t)[:, None])[:, 0] * len(x)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        self._saved = (output, target)
        value, factor = self.function(output, target), self.factor(target)
        return value if factor == 1 else value * factor

    def backward(self) -> Tensor:
        if self._saved is None:
            raise RuntimeError(f"{self.name}: backward was called before forward")
        output, target = self._saved
        g = self.gradient(widened(output), widened(target))
        scale = self.scale * self.factor(target)
        return (g if scale == 1 else g * scale).to(output.dtype)

    def unscaled(self, gradient: Tensor) -> Tensor:
        """``gradient``, which came of ``backward``, without ``scale``."""
        return gradient if self.scale == 1 else gradient / self.scale


LOSSES: Registry[type[Loss]] = Registry("loss")
