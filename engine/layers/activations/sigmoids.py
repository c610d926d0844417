"""Sigmoids: bounded, S-shaped, flat (saturated) far from the origin."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerscope.engine.basis.symbolic import sympy
from layerscope.engine.layers.activations.base import ACTIVATIONS, Activation

__all__ = ["Hardtanh", "Sigmoid", "Softsign", "Tanh"]


@ACTIVATIONS.register
class Tanh(Activation):
    name = "tanh"
    formula = "tanh x"
    gradient_formula = "∂L/∂x = g · (1 − y²)"
    source = "LeCun et al. 1998 (Efficient BackProp)"
    help = "Bounded by ±1 and centred; flat, without gradient, where |x| is large."
    torch_modules = (nn.Tanh,)
    saves = "output"

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return torch.tanh(x)

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        return g * (1 - saved * saved)

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return torch.tanh(x)

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return sympy.tanh(x)


@ACTIVATIONS.register
class Sigmoid(Activation):
    name = "sigmoid"
    formula = "1 / (1 + e⁻ˣ)"
    gradient_formula = "∂L/∂x = g · y·(1 − y)"
    source = "Rumelhart, Hinton & Williams 1986"
    help = "Bounded by 0 and 1; its slope is at most 1/4, so gradients shrink at every layer."
    torch_modules = (nn.Sigmoid,)
    often_at_fault = True
    saves = "output"

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        return g * (saved * (1 - saved))

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return 1 / (1 + sympy.exp(-x))


@ACTIVATIONS.register
class Hardtanh(Activation):
    name = "hardtanh"
    formula = "min(max(−1, x), 1)"
    gradient_formula = "∂L/∂x = g · [−1 < x < 1]"
    source = "Collobert 2004"
    help = "Tanh in three straight pieces: identity between −1 and 1, flat outside."
    torch_modules = (nn.Hardtanh,)
    torch_settings = (("min_val", -1.0), ("max_val", 1.0))
    recommended_init = "kaiming_normal"
    kinks = (-1.0, 1.0)
    subgradient = "φ'(−1) = φ'(1) = 0"

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return x.clamp(-1, 1)

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        return g.masked_fill((saved <= -1) | (saved >= 1), 0)

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return F.hardtanh(x)

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return sympy.Min(sympy.Max(-1, x), 1)


@ACTIVATIONS.register
class Softsign(Activation):
    name = "softsign"
    formula = "x / (1 + |x|)"
    gradient_formula = "∂L/∂x = g / (1 + |x|)²"
    source = "Bergstra et al. 2009; Glorot & Bengio 2010"
    help = "Like tanh with slower tails: it saturates polynomially, not exponentially."
    torch_modules = (nn.Softsign,)
    recommended_init = "kaiming_normal"
    kinks = (0.0,)
    subgradient = "none to choose: φ' is 1 from both sides, only φ'' jumps at 0"

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return x / (1 + x.abs())

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        return g / (1 + saved.abs()).square()

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return F.softsign(x)

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return x / (1 + sympy.Abs(x))
