"""Rung 1: plain functions; each forward step has a ``_grad`` beside it, called in reverse order."""

# ruff: noqa: D103  as short as in the notes; what each does stands beside it on the page

from __future__ import annotations

from torch import Tensor

from layerscope.engine.foundations.ladder.base import GRADIENTS, Node, Problem, Rung

__all__ = [
    "FUNCTIONS", "backward", "forward", "forward_and_backward", "lin", "lin_grad", "mse",
    "mse_grad", "relu", "relu_grad",
]  # fmt: skip


def lin(inp: Node, w: Node, b: Node) -> Node:
    return inp @ w + b  # (batch, n_out)


def lin_grad(inp: Node, out: Node, w: Node, b: Node) -> None:
    inp.g = out.g @ w.t()  # (batch, n_in)
    w.g = inp.t() @ out.g  # (n_in, n_out)
    b.g = out.g.sum(0)  # (n_out,)


def relu(inp: Node) -> Node:
    return inp.clamp_min(0.0)


def relu_grad(inp: Node, out: Node) -> None:
    inp.g = (inp > 0).to(inp.dtype) * out.g


def mse(output: Node, targ: Node) -> Node:
    return (output.squeeze(1) - targ).pow(2).mean()


def mse_grad(inp: Node, targ: Node) -> None:
    inp.g = 2.0 * (inp.squeeze(1) - targ).unsqueeze(1) / inp.shape[0]  # (batch, 1)


def forward(p: Problem) -> tuple[Node, Node, Node, Node]:
    l1 = lin(p.inp, p.w1, p.b1)
    l2 = relu(l1)
    out = lin(l2, p.w2, p.b2)
    # we don't actually need the loss in backward!
    return l1, l2, out, mse(out, p.targ)


def backward(p: Problem, l1: Node, l2: Node, out: Node) -> None:
    mse_grad(out, p.targ)
    lin_grad(l2, out, p.w2, p.b2)
    relu_grad(l1, l2)
    lin_grad(p.inp, l1, p.w1, p.b1)


def forward_and_backward(p: Problem) -> Node:
    l1, l2, out, loss = forward(p)
    backward(p, l1, l2, out)
    return loss


class _Attempt:
    def __init__(self, problem: Problem) -> None:
        self.p = problem.copy()

    def forward(self) -> Tensor:
        *self.between, loss = forward(self.p)
        tensor: Tensor = loss
        return tensor

    def backward(self) -> None:
        backward(self.p, *self.between)

    def gradients(self) -> dict[str, Tensor]:
        return {name: getattr(self.p, name).g for name in GRADIENTS}


FUNCTIONS = Rung(
    name="functions",
    title="Functions",
    gain="Nothing but tensors: every step of the chain rule stands there, in reverse order.",
    cost="The model is written twice, once forward and once backward, and both must be kept alike.",
    shown=(lin, lin_grad, relu, relu_grad, mse, mse_grad, forward, backward, forward_and_backward),
    start=_Attempt,
)
