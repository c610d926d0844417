"""The fully connected layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerscope.engine.layers.base import DrawParameters, Layer

__all__ = ["Linear"]


class Linear(Layer):
    """y = x @ w + b, stored as in the notes: the weight is (n_in, n_out), the bias (n_out,).

    >>> layer = Linear(torch.eye(2), torch.zeros(2))
    >>> layer.forward(torch.tensor([[1.0, 2.0]]))
    tensor([[1., 2.]])
    >>> layer.backward(torch.tensor([[3.0, 4.0]]))
    tensor([[3., 4.]])
    >>> layer.gradients["weight"]
    tensor([[3., 4.],
            [6., 8.]])
    """

    role = "linear_map"
    keeps = ("input",)
    name = "linear"
    torch_modules = (nn.Linear,)
    formula = "y = x @ w + b"
    gradient_formula = "∂L/∂x = g @ wᵀ,  ∂L/∂w = xᵀ @ g,  ∂L/∂b = Σ over samples of g"
    source = "Rosenblatt 1958; the backward pass as in the fastai book, chapter 17"
    help = "Every output is a weighted sum of every input, plus a bias."

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.parameters = {"weight": weight, "bias": bias}

    @classmethod
    def build(cls, n_in: int, n_out: int, dtype: torch.dtype, draw: DrawParameters) -> Self:
        weight, bias = draw(n_in, n_out)
        return cls(weight.to(dtype), bias.to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        self._saved = (x,)
        return torch.addmm(self.parameters["bias"], x, self.parameters["weight"])  # (batch, n_out)

    def backward(self, g: Tensor) -> Tensor:
        (x,) = self.saved
        self.gradients["weight"] = x.t() @ g  # (n_in, n_out)
        self.gradients["bias"] = g.sum(0)  # (n_out,)
        return g @ self.parameters["weight"].t()  # (batch, n_in)

    @classmethod
    def torch_forward(cls, x: Tensor, parameters: Mapping[str, Tensor], skip: Tensor) -> Tensor:  # noqa: ARG003
        return F.linear(x, parameters["weight"].t(), parameters["bias"])

    def pushforward(self, v: Tensor | None, x: Tensor) -> Tensor:  # noqa: ARG002
        weight = self.parameters["weight"]
        return weight if v is None else v @ weight  # (k, n_out)

    def largest_term(self, g: Tensor) -> float:
        rows = float(g.abs().sum(1).amax()) if g.numel() else 0.0
        return rows * float(self.parameters["weight"].abs().amax())
