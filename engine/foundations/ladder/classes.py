"""Rung 2: a class for each function, which remembers its input and knows its own backward step."""

# ruff: noqa: D101  as short as in the notes; what each does stands beside it on the page

from __future__ import annotations

from typing import Any

from torch import Tensor

from layerscope.engine.foundations.ladder.base import GRADIENTS, Node, Problem, Rung

__all__ = ["CLASSES", "Lin", "Model", "Mse", "Relu"]


class Relu:
    def __call__(self, inp: Node) -> Node:
        self.inp = inp
        self.out = inp.clamp_min(0.0)
        return self.out

    def backward(self) -> None:
        self.inp.g = (self.inp > 0).to(self.inp.dtype) * self.out.g


class Lin:
    def __init__(self, w: Node, b: Node) -> None:
        self.w, self.b = w, b

    def __call__(self, inp: Node) -> Node:
        self.inp = inp
        self.out = inp @ self.w + self.b
        return self.out

    def backward(self) -> None:
        self.inp.g = self.out.g @ self.w.t()
        self.w.g = self.inp.t() @ self.out.g
        self.b.g = self.out.g.sum(0)


class Mse:
    def __call__(self, inp: Node, targ: Node) -> Node:
        self.inp = inp
        self.targ = targ
        self.out = (inp.squeeze(1) - targ).pow(2).mean()
        return self.out

    def backward(self) -> None:
        x = (self.inp.squeeze(1) - self.targ).unsqueeze(1)
        self.inp.g = 2.0 * x / self.targ.shape[0]


class Model:
    def __init__(self, w1: Node, b1: Node, w2: Node, b2: Node) -> None:
        self.layers: list[Any] = [Lin(w1, b1), Relu(), Lin(w2, b2)]
        self.loss = Mse()

    def __call__(self, x: Node, targ: Node) -> Node:
        for layer in self.layers:
            x = layer(x)
        return self.loss(x, targ)

    def backward(self) -> None:
        self.loss.backward()
        for layer in reversed(self.layers):
            layer.backward()


class _Attempt:
    def __init__(self, problem: Problem) -> None:
        self.p = problem.copy()
        self.model = Model(self.p.w1, self.p.b1, self.p.w2, self.p.b2)

    def forward(self) -> Tensor:
        loss: Tensor = self.model(self.p.inp, self.p.targ)
        return loss

    def backward(self) -> None:
        self.model.backward()

    def gradients(self) -> dict[str, Tensor]:
        return {name: getattr(self.p, name).g for name in GRADIENTS}


CLASSES = Rung(
    name="classes",
    title="Classes",
    gain="A layer keeps what its backward step needs, so that the model is a list, walked back.",
    cost="Each class repeats the same bookkeeping: keep the input, keep the output.",
    shown=(Relu, Lin, Mse, Model),
    start=_Attempt,
)
