"""Loss functions, forward and hand-written backward side by side, in one registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.registry import Registry

if TYPE_CHECKING:
    import sympy

__all__ = ["LOSSES", "CrossEntropy", "Huber", "Loss", "MeanAbsoluteError", "MeanSquaredError"]


class Loss(ABC):
    """A number made of an output (batch, k) and a target, with its gradient by the output."""

    name: ClassVar[str]
    formula: ClassVar[str]
    gradient_formula: ClassVar[str]
    source: ClassVar[str]
    help: ClassVar[str]
    classifies: ClassVar[bool] = False
    """True: the target holds class numbers (batch,); False: numbers of the output's shape."""
    kinks: ClassVar[tuple[float, ...]] = ()
    """Values of x − t at which the derivative jumps."""
    subgradient: ClassVar[str] = ""

    def __init__(self) -> None:
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
    def baseline(cls, target: Tensor) -> float:
        """The loss of an output that is the same for every sample: the target's mean.

        What a network must get below to have learned anything. ``target``: (batch, k).
        """
        wide = target.double()
        return float(cls.function(wide.mean(0).expand_as(wide), wide))

    @classmethod
    def slope(cls, x: Tensor, t: float) -> Tensor:
        """Derivative of one entry's term at every ``x`` (n,), by the hand-written backward pass."""
        return cls.gradient(x[:, None], torch.full_like(x, t)[:, None])[:, 0] * len(x)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        self._saved = (output, target)
        return self.function(output, target)

    def backward(self) -> Tensor:
        if self._saved is None:
            raise RuntimeError(f"{self.name}: backward was called before forward")
        return self.gradient(*self._saved)


LOSSES: Registry[type[Loss]] = Registry("loss")


def difference(output: Tensor, target: Tensor) -> Tensor:
    """``output − target`` of equal shapes; the notes' squeeze, without its trap.

    Errors: ``ValueError`` where (N, 1) would be broadcast against (N,) to (N, N).
    """
    if output.shape != target.shape:
        raise ValueError(
            f"output has shape {tuple(output.shape)}, target {tuple(target.shape)}: they must be "
            "equal, or the difference broadcasts"
        )
    return output - target


@LOSSES.register
class MeanSquaredError(Loss):
    name = "mse"
    formula = "mean (y − t)²"
    gradient_formula = "∂L/∂y = 2·(y − t)/N, N the number of entries"
    source = "Legendre 1805; the notes' mse, with the target in the output's shape"
    help = "Squares the error: right for Gaussian noise, ruled by outliers."

    @staticmethod
    def function(output: Tensor, target: Tensor) -> Tensor:
        return difference(output, target).square().mean()

    @staticmethod
    def gradient(output: Tensor, target: Tensor) -> Tensor:
        return 2 * difference(output, target) / output.numel()

    @staticmethod
    def reference(output: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(output, target)

    @staticmethod
    def symbolic(x: sympy.Symbol, t: sympy.Symbol) -> sympy.Expr:
        return (x - t) ** 2


@LOSSES.register
class MeanAbsoluteError(Loss):
    name = "mae"
    formula = "mean |y − t|"
    gradient_formula = "∂L/∂y = sign(y − t)/N"
    source = "Laplace 1774"
    help = "Every error pulls equally hard, however large."
    kinks = (0.0,)
    subgradient = "0 where y = t"

    @staticmethod
    def function(output: Tensor, target: Tensor) -> Tensor:
        return difference(output, target).abs().mean()

    @staticmethod
    def gradient(output: Tensor, target: Tensor) -> Tensor:
        return difference(output, target).sign() / output.numel()

    @staticmethod
    def reference(output: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(output, target)

    @staticmethod
    def symbolic(x: sympy.Symbol, t: sympy.Symbol) -> sympy.Expr:
        import sympy

        return sympy.Abs(x - t)


@LOSSES.register
class Huber(Loss):
    name = "huber"
    formula = "mean of d²/2 where |d| ≤ 1, else |d| − 1/2;  d = y − t"
    gradient_formula = "∂L/∂y = min(max(−1, y − t), 1)/N"
    source = "Huber 1964"
    help = "Squares small errors, takes large ones as they are: its gradient is bounded."
    kinks = (-1.0, 1.0)
    subgradient = "none to choose: the derivative is continuous, only its slope jumps"

    @staticmethod
    def function(output: Tensor, target: Tensor) -> Tensor:
        d = difference(output, target).abs()
        return torch.where(d <= 1, 0.5 * d * d, d - 0.5).mean()

    @staticmethod
    def gradient(output: Tensor, target: Tensor) -> Tensor:
        return difference(output, target).clamp(-1, 1) / output.numel()

    @staticmethod
    def reference(output: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(output, target)

    @staticmethod
    def symbolic(x: sympy.Symbol, t: sympy.Symbol) -> sympy.Expr:
        import sympy

        d = x - t
        return sympy.Piecewise(
            (-d - sympy.Rational(1, 2), d < -1),
            (d**2 / 2, d <= 1),
            (d - sympy.Rational(1, 2), True),
        )


@LOSSES.register
class CrossEntropy(Loss):
    name = "cross_entropy"
    formula = "mean of −ln softmax(y)[class]"
    gradient_formula = "∂L/∂y = (softmax(y) − one-hot(class))/batch"
    source = "Bridle 1990; torch.nn.functional.cross_entropy"
    help = "For classes: minus the log of the probability given to the right one."
    classifies = True

    @staticmethod
    def function(output: Tensor, target: Tensor) -> Tensor:
        shifted = output - output.amax(1, keepdim=True)  # no exp of a large number
        log_sum = shifted.exp().sum(1).log()  # (batch,)
        return (log_sum - shifted.gather(1, target[:, None])[:, 0]).mean()

    @staticmethod
    def gradient(output: Tensor, target: Tensor) -> Tensor:
        e = (output - output.amax(1, keepdim=True)).exp()
        p = e / e.sum(1, keepdim=True)  # (batch, classes)
        p[torch.arange(len(target)), target] -= 1
        return p / len(target)

    @staticmethod
    def reference(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target)

    @staticmethod
    def symbolic(x: sympy.Symbol, t: sympy.Symbol) -> sympy.Expr:
        import sympy

        return sympy.log(1 + sympy.exp(t - x))  # two classes: x the right one's logit, t the other

    @classmethod
    def baseline(cls, target: Tensor) -> float:
        """The entropy of the classes' shares: the loss of always answering with these."""
        share = torch.bincount(target).double() / max(len(target), 1)
        return float(-(share * share.clamp_min(1e-300).log()).sum())

    @classmethod
    def slope(cls, x: Tensor, t: float) -> Tensor:
        logits = torch.stack([x, torch.full_like(x, t)], dim=1)  # (n, 2)
        return cls.gradient(logits, torch.zeros(len(x), dtype=torch.long))[:, 0] * len(x)
