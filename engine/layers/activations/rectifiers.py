"""Rectifiers: zero or damped below the origin, (nearly) the identity above."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerscope.engine.basis.symbolic import sympy
from layerscope.engine.layers.activations.base import ACTIVATIONS, Activation, Parameter

__all__ = [
    "ELU", "SELU", "LeakyReLU", "ReLU", "ReLU6", "Softplus", "SquaredReLU",
    "rectified", "softplus",
]  # fmt: skip

LEAKY_SLOPE = 0.01  # PyTorch's default negative_slope
ELU_ALPHA = 1.0  # PyTorch's default alpha
SELU_ALPHA = 1.6732632423543772  # fixed point at mean 0, variance 1: Klambauer et al. 2017
SELU_SCALE = 1.0507009873554805  # the same


def rectified(g: Tensor, slope: Tensor, z: Tensor) -> Tensor:
    """g · slope, and 0 where z ≤ 0 whatever g is: nothing passes there, not even an infinity.

    A product is five times quicker than a choice by comparison, which only Inf · 0 needs.
    """
    passed = g * slope
    return passed.masked_fill(z <= 0, 0) if math.isnan(float(passed.sum())) else passed


@ACTIVATIONS.register
class ReLU(Activation):
    name = "relu"
    formula = "max(0, x)"
    gradient_formula = "∂L/∂x = g · [y > 0]"
    source = "Nair & Hinton 2010; Glorot, Bordes & Bengio 2011"
    help = "Passes what is positive, zeroes the rest: half of a centred signal is lost."
    torch_modules = (nn.ReLU,)
    recommended_init = "kaiming_normal"
    saves = "output"
    kinks = (0.0,)
    subgradient = "φ'(0) = 0"

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return x.clamp_min(0)

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        return rectified(g, saved.sign(), saved)  # y ≥ 0, so its sign is [y > 0]

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return F.relu(x)

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return sympy.Max(0, x)


def _leaky(slope: float) -> dict[str, str]:
    return {
        "formula": f"max(x, {slope:g}·x)" if slope <= 1 else f"x where x > 0, else {slope:g}·x",
        "gradient_formula": f"∂L/∂x = g where x > 0, else {slope:g}·g",
        "subgradient": f"φ'(0) = {slope:g}",
    }


@ACTIVATIONS.register
class LeakyReLU(Activation):
    name = "leaky_relu"
    parameter = Parameter(LEAKY_SLOPE, "LEAKY_SLOPE", "negative_slope", _leaky)
    formula = "max(x, 0.01·x)"
    gradient_formula = "∂L/∂x = g where x > 0, else 0.01·g"
    source = "Maas, Hannun & Ng 2013"
    help = "ReLU that lets a hundredth of a negative input through, so that no unit dies."
    torch_modules = (nn.LeakyReLU,)
    torch_settings = (("negative_slope", LEAKY_SLOPE),)
    recommended_init = "kaiming_normal"
    kinks = (0.0,)
    subgradient = "φ'(0) = 0.01"

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, LEAKY_SLOPE * x)

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        return torch.where(saved > 0, g, LEAKY_SLOPE * g)

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return F.leaky_relu(x, LEAKY_SLOPE)

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return sympy.Piecewise((x, x > 0), (sympy.Float(LEAKY_SLOPE) * x, True))


@ACTIVATIONS.register
class ReLU6(Activation):
    name = "relu6"
    formula = "min(max(0, x), 6)"
    gradient_formula = "∂L/∂x = g · [0 < x < 6]"
    source = "Krizhevsky 2010"
    help = "ReLU capped at 6, made for narrow number formats."
    torch_modules = (nn.ReLU6,)
    recommended_init = "kaiming_normal"
    kinks = (0.0, 6.0)
    subgradient = "φ'(0) = φ'(6) = 0"

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return x.clamp(0, 6)

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        return g.masked_fill((saved <= 0) | (saved >= 6), 0)

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return F.relu6(x)

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return sympy.Min(sympy.Max(0, x), 6)


def _elu(alpha: float) -> dict[str, str]:
    return {
        "formula": f"x where x > 0, else {alpha:g}·(eˣ − 1)",
        "gradient_formula": f"∂L/∂x = g where x > 0, else g·{alpha:g}·eˣ",
        "subgradient": f"φ'(0) = {alpha:g} (from the left)",
    }


@ACTIVATIONS.register
class ELU(Activation):
    name = "elu"
    parameter = Parameter(ELU_ALPHA, "ELU_ALPHA", "alpha", _elu)
    formula = "x where x > 0, else eˣ − 1"
    gradient_formula = "∂L/∂x = g where x > 0, else g·eˣ"
    source = "Clevert, Unterthiner & Hochreiter 2016"
    help = "Smooth rectifier with negative values that pull the mean towards zero."
    torch_modules = (nn.ELU,)
    torch_settings = (("alpha", 1.0),)
    recommended_init = "kaiming_normal"
    kinks = (0.0,)
    subgradient = "none to choose: φ' is 1 from both sides, only φ'' jumps at 0"

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, ELU_ALPHA * torch.expm1(x))

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        return torch.where(saved > 0, g, g * (ELU_ALPHA * torch.exp(saved)))

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return F.elu(x, ELU_ALPHA)

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return sympy.Piecewise((x, x > 0), (sympy.nsimplify(ELU_ALPHA) * (sympy.exp(x) - 1), True))


@ACTIVATIONS.register
class SELU(Activation):
    name = "selu"
    formula = "1.0507·(x where x > 0, else 1.6733·(eˣ − 1))"
    gradient_formula = "∂L/∂x = 1.0507·g where x > 0, else 1.0507·1.6733·g·eˣ"
    source = "Klambauer et al. 2017"
    help = "Scaled ELU whose fixed point is mean 0, variance 1: made for lecun_normal weights."
    torch_modules = (nn.SELU,)
    recommended_init = "lecun_normal"
    kinks = (0.0,)
    subgradient = "φ'(0) = 1.0507 · 1.6733 (from the left)"

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return SELU_SCALE * torch.where(x > 0, x, SELU_ALPHA * torch.expm1(x))

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        return SELU_SCALE * torch.where(saved > 0, g, SELU_ALPHA * g * torch.exp(saved))

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return F.selu(x)

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        scale, alpha = sympy.Float(SELU_SCALE, 17), sympy.Float(SELU_ALPHA, 17)
        return sympy.Piecewise((scale * x, x > 0), (scale * alpha * (sympy.exp(x) - 1), True))


def softplus(x: Tensor) -> Tensor:
    """ln(1 + eˣ) without ever taking the exponential of a large number."""
    return x.clamp_min(0) + torch.log1p(torch.exp(-x.abs()))


@ACTIVATIONS.register
class Softplus(Activation):
    name = "softplus"
    formula = "ln(1 + eˣ)"
    gradient_formula = "∂L/∂x = g · 1/(1 + e⁻ˣ)"
    source = "Dugas et al. 2001"
    help = "Smooth ReLU; always positive, so the mean of the signal grows."
    torch_modules = (nn.Softplus,)
    torch_settings = (("beta", 1.0),)
    often_at_fault = True

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return softplus(x)

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        return g * torch.sigmoid(saved)

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        # Its default, 20, drops the exponential too early; 700 overflows the narrower formats.
        return F.softplus(x, threshold=700 if x.dtype == torch.float64 else 80)

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return sympy.log(1 + sympy.exp(x))


@ACTIVATIONS.register
class SquaredReLU(Activation):
    name = "squared_relu"
    formula = "max(0, x)²"
    gradient_formula = "∂L/∂x = 2·g·max(0, x)"
    source = "So et al. 2021 (Primer)"
    help = "Not homogeneous of degree one: there is no scale at which depth leaves it alone."
    recommended_init = "kaiming_normal"
    often_at_fault = True
    kinks = (0.0,)
    subgradient = "none to choose: φ' is 0 from both sides, only φ'' jumps at 0"

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return x.clamp_min(0).square()

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        return rectified(g, 2 * saved.clamp_min(0), saved)

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return F.relu(x) ** 2

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return sympy.Max(0, x) ** 2
