"""Losses of numbers against numbers of the same shape."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from layerscope.engine.basis.symbolic import sympy
from layerscope.engine.layers.losses.base import LOSSES, Loss
from layerscope.engine.layers.losses.theory import (
    OfDifference,
    PowerOfDifference,
    hermite_of_sign,
    of_signs,
)

__all__ = ["Huber", "MeanAbsoluteError", "MeanSquaredError", "difference"]


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
    degree = 2
    theory = PowerOfDifference(math.log(4.0), 1, lambda rho: (rho, 1.0), noise=2.0)  # ψ(d) = 2d

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
    theory = PowerOfDifference(0.0, 0, of_signs, 0.0, hermite_of_sign)  # ψ(d) = ±1

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
    theory = OfDifference(lambda d: d.clamp(-1, 1), lambda d: (d.abs() < 1).to(d.dtype), kinks)

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
        d = x - t
        return sympy.Piecewise(
            (-d - sympy.Rational(1, 2), d < -1),
            (d**2 / 2, d <= 1),
            (d - sympy.Rational(1, 2), True),
        )
