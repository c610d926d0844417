"""No activation at all, as an activation: what a purely linear network uses."""

from __future__ import annotations

from torch import Tensor, nn

from layerscope.engine.basis.symbolic import sympy
from layerscope.engine.layers.activations.base import ACTIVATIONS, Activation

__all__ = ["Identity"]


@ACTIVATIONS.register
class Identity(Activation):
    name = "linear"
    formula = "x"
    gradient_formula = "∂L/∂x = g"
    source = "Saxe, McClelland & Ganguli 2014 (deep linear networks)"
    help = "No activation: the network stays a product of matrices. Adds no layer."
    torch_modules = (nn.Identity,)
    recommended_init = "lecun_normal"
    adds_layer = False
    saves = "output"

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return x

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        return g

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return x

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return x
