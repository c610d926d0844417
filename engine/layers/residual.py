"""The residual sum: what came into a block is added to what leaves it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from layerscope.engine.layers.base import Layer

__all__ = ["Add"]


class Add(Layer):
    """y = x + skip, where ``skip`` is the block's input; both branches receive g, which the network
    adds where the two paths meet again."""

    role = "sum"
    name = "add"
    formula = "y = f(x) + x, x the block's input"
    gradient_formula = "∂L/∂f = g, and g is added to ∂L/∂x of the block's input"
    source = "He et al. 2016 (residual networks)"
    help = "A shortcut around the block, for the signal and for the gradient."

    def __init__(self) -> None:
        super().__init__()
        self.skip: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.skip is None:
            raise RuntimeError("add: skip was not set before forward")
        y = x + self.skip
        self.skip = None
        return y

    def backward(self, g: Tensor) -> Tensor:
        return g

    @classmethod
    def torch_forward(cls, x: Tensor, parameters: Mapping[str, Tensor], skip: Tensor) -> Tensor:  # noqa: ARG003
        return x + skip

    def pushforward(self, v: Tensor | None, x: Tensor) -> Tensor:
        own = torch.eye(x.shape[1], dtype=x.dtype)  # of the block's input by itself
        return own if v is None else v + own
