"""Rung 4: ``torch.autograd.Function``; torch records the calls and walks them back by itself."""

# ruff: noqa: D101, D103  as short as in the notes; what each does stands beside it on the page

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from layerscope.engine.foundations.ladder.base import GRADIENTS, Node, Problem, Rung

__all__ = ["AUTOGRAD_FUNCTION", "MyLin", "MyMse", "MyRelu", "model"]


class MyRelu(Function):
    @staticmethod
    def forward(ctx: Any, *args: Node) -> Node:
        (i,) = args
        ctx.save_for_backward(i)
        return i.clamp_min(0.0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Node) -> Node:
        (i,) = ctx.saved_tensors
        (g,) = grad_outputs
        return g * (i > 0).to(i.dtype)


class MyLin(Function):
    @staticmethod
    def forward(ctx: Any, *args: Node) -> Node:
        inp, w, b = args
        ctx.save_for_backward(inp, w)
        return inp @ w + b

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Node) -> tuple[Node, ...]:
        inp, w = ctx.saved_tensors
        (g,) = grad_outputs
        return g @ w.t(), inp.t() @ g, g.sum(0)


class MyMse(Function):
    @staticmethod
    def forward(ctx: Any, *args: Node) -> Node:
        inp, targ = args
        ctx.save_for_backward(inp, targ)
        return (inp.squeeze(1) - targ).pow(2).mean()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Node) -> tuple[Node, None]:
        inp, targ = ctx.saved_tensors
        (g,) = grad_outputs
        return g * 2.0 * (inp.squeeze(1) - targ).unsqueeze(1) / targ.shape[0], None


def model(p: Problem) -> Node:
    lin: Any = MyLin.apply
    relu: Any = MyRelu.apply
    mse: Any = MyMse.apply
    out = lin(relu(lin(p.inp, p.w1, p.b1)), p.w2, p.b2)
    return mse(out, p.targ)


class _Attempt:
    def __init__(self, problem: Problem) -> None:
        self.p = problem.copy(requires_grad=True)

    def forward(self) -> Tensor:
        for name in GRADIENTS:
            getattr(self.p, name).grad = None
        loss: Tensor = model(self.p)
        self.loss = loss
        return loss

    def backward(self) -> None:
        torch.autograd.backward(self.loss)

    def gradients(self) -> dict[str, Tensor]:
        return {name: getattr(self.p, name).grad for name in GRADIENTS}


AUTOGRAD_FUNCTION = Rung(
    name="autograd_function",
    title="torch.autograd.Function",
    gain="One loss.backward(): torch has recorded which function made what, branches included.",
    cost="Each function's backward is still ours; recording costs some microseconds a call.",
    shown=(MyRelu, MyLin, MyMse, model),
    start=_Attempt,
)
