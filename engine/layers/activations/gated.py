"""Gated activations: x times a soft switch of x; smooth, and not monotonic below zero."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerscope.engine.basis.symbolic import sympy
from layerscope.engine.layers.activations.base import ACTIVATIONS, Activation
from layerscope.engine.layers.activations.rectifiers import softplus

__all__ = ["GELU", "GELUTanh", "Hardswish", "Mish", "SiLU"]

GELU_CUBIC = 0.044715  # Hendrycks & Gimpel 2016, the tanh approximation


@ACTIVATIONS.register
class GELU(Activation):
    name = "gelu"
    formula = "x · Φ(x)"
    gradient_formula = "∂L/∂x = g · (Φ(x) + x·e^(−x²/2)/√(2π))"
    source = "Hendrycks & Gimpel 2016"
    help = "x times the chance that a standard normal lies below it; the transformers' choice."
    torch_modules = (nn.GELU,)
    torch_settings = (("approximate", "none"),)

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return x * (0.5 * (1 + torch.erf(x * math.sqrt(0.5))))

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        cumulative = 0.5 * (1 + torch.erf(saved * math.sqrt(0.5)))
        density = torch.exp(-0.5 * saved * saved) / math.sqrt(2 * math.pi)
        return g * (cumulative + saved * density)

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return F.gelu(x)

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return x * (1 + sympy.erf(x / sympy.sqrt(2))) / 2


@ACTIVATIONS.register
class GELUTanh(Activation):
    name = "gelu_tanh"
    formula = "x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³)))"
    gradient_formula = "∂L/∂x = g · ((1 + t)/2 + x/2·(1 − t²)·√(2/π)·(1 + 3·0.044715·x²))"
    source = "Hendrycks & Gimpel 2016; GPT-2"
    help = "GELU with its normal distribution function replaced by a tanh."
    torch_modules = (nn.GELU,)
    torch_settings = (("approximate", "tanh"),)

    @staticmethod
    def function(x: Tensor) -> Tensor:
        t = torch.tanh(math.sqrt(2 / math.pi) * (x + GELU_CUBIC * x**3))
        return 0.5 * x * (1 + t)

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        x = saved
        t = torch.tanh(math.sqrt(2 / math.pi) * (x + GELU_CUBIC * x**3))
        inner = math.sqrt(2 / math.pi) * (1 + 3 * GELU_CUBIC * x * x)
        return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner)

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return F.gelu(x, approximate="tanh")

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        cubic = sympy.Float(GELU_CUBIC, 17)
        return x / 2 * (1 + sympy.tanh(sympy.sqrt(2 / sympy.pi) * (x + cubic * x**3)))


@ACTIVATIONS.register
class SiLU(Activation):
    name = "silu"
    formula = "x / (1 + e⁻ˣ)"
    gradient_formula = "∂L/∂x = g · s·(1 + x·(1 − s)), s = 1/(1 + e⁻ˣ)"
    source = "Elfwing, Uchibe & Doya 2018; Ramachandran et al. 2017 (Swish)"
    help = "x times its sigmoid, also called swish."
    torch_modules = (nn.SiLU,)

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        s = torch.sigmoid(saved)
        return g * (s * (1 + saved * (1 - s)))

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return F.silu(x)

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return x / (1 + sympy.exp(-x))


@ACTIVATIONS.register
class Mish(Activation):
    name = "mish"
    formula = "x · tanh(ln(1 + eˣ))"
    gradient_formula = "∂L/∂x = g · (t + x·(1 − t²)·s), t = tanh(ln(1 + eˣ)), s = 1/(1 + e⁻ˣ)"
    source = "Misra 2019"
    help = "A smoother swish."
    torch_modules = (nn.Mish,)

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return x * torch.tanh(softplus(x))

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        t = torch.tanh(softplus(saved))
        return g * (t + saved * (1 - t * t) * torch.sigmoid(saved))

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return F.mish(x)

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return x * sympy.tanh(sympy.log(1 + sympy.exp(x)))


@ACTIVATIONS.register
class Hardswish(Activation):
    name = "hardswish"
    formula = "x · min(max(0, x + 3), 6) / 6"
    gradient_formula = "∂L/∂x = 0 where x ≤ −3, g where x ≥ 3, else g·(2x + 3)/6"
    source = "Howard et al. 2019 (MobileNetV3)"
    help = "Swish in straight pieces, for devices without an exponential."
    torch_modules = (nn.Hardswish,)
    recommended_init = "kaiming_normal"
    kinks = (-3.0, 3.0)
    subgradient = "φ'(−3) = 0, φ'(3) = 1"

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return x * (x + 3).clamp(0, 6) / 6

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        inside = g * (2 * saved + 3) / 6
        return torch.where(saved <= -3, 0.0, torch.where(saved >= 3, g, inside))

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return F.hardswish(x)

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return x * sympy.Min(sympy.Max(0, x + 3), 6) / 6
