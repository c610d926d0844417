"""Rung 5: ``nn.Module``; a layer owns its parameters, and no backward is written any more."""

# ruff: noqa: D101, D103  as short as in the notes; what each does stands beside it on the page

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from layerscope.engine.foundations.ladder.base import Problem, Rung

__all__ = ["MODULE", "LinearLayer", "Model", "ModuleAttempt", "mse"]


def mse(output: Tensor, targ: Tensor) -> Tensor:
    return (output.squeeze(1) - targ).pow(2).mean()


class LinearLayer(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) * math.sqrt(2 / n_in))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.t() + self.bias


class Model(nn.Module):
    def __init__(self, n_in: int, nh: int, n_out: int) -> None:
        super().__init__()
        self.lin1 = LinearLayer(n_in, nh)
        self.lin2 = LinearLayer(nh, n_out)

    def forward(self, x: Tensor, targ: Tensor) -> Tensor:
        l2 = self.lin1(x).clamp_min(0.0)
        return mse(self.lin2(l2), targ)


class ModuleAttempt:
    """Any module of this network at work: two weights and two biases, in forward order.

    Args:
        build: a class whose instances take (x, targ) and return the loss.
    """

    def __init__(self, problem: Problem, build: type[nn.Module]) -> None:
        self.p = problem.copy()
        self.p.inp.requires_grad_()
        # On the meta device nothing is drawn: torch's global random state stays as it was.
        with torch.device("meta"):
            module = build(problem.w1.shape[0], problem.w1.shape[1], problem.w2.shape[1])
        self.module = module.to(problem.w1.dtype).to_empty(device="cpu")
        self.parameters = tuple(self.module.parameters())
        with torch.no_grad():
            for parameter, name in zip(self.parameters, ("w1", "b1", "w2", "b2"), strict=True):
                parameter.copy_(getattr(problem, name).t())  # torch stores (n_out, n_in)

    def forward(self) -> Tensor:
        """The loss, 0-d."""
        for tensor in (self.p.inp, *self.parameters):
            tensor.grad = None
        loss: Tensor = self.module(self.p.inp, self.p.targ)
        self.loss = loss
        return loss

    def backward(self) -> None:
        """By autograd."""
        torch.autograd.backward(self.loss)

    def gradients(self) -> dict[str, Tensor]:
        """In the notes' layout, (n_in, n_out)."""
        found = dict(zip(("inp", "w1", "b1", "w2", "b2"), (self.p.inp, *self.parameters),
                         strict=True))  # fmt: skip
        return {n: t.grad if n == "inp" else t.grad.t()  # type: ignore[union-attr, misc]
                for n, t in found.items()}  # fmt: skip


MODULE = Rung(
    name="module",
    title="nn.Module",
    gain="A layer owns its parameters, which any optimiser finds; torch knows every backward.",
    cost="super().__init__() must come first, and forward names each layer again.",
    shown=(mse, LinearLayer, Model),
    start=lambda problem: ModuleAttempt(problem, Model),
)
