"""Rung 3: a base class that does the bookkeeping; a layer is ``forward`` and ``bwd``, no more."""

# ruff: noqa: D101  as short as in the notes; what each does stands beside it on the page

from __future__ import annotations

from torch import Tensor

from layerscope.engine.foundations.ladder.base import GRADIENTS, Node, Problem, Rung

__all__ = ["LAYER_FUNCTION", "LayerFunction", "Lin", "Model", "Mse", "Relu"]


class LayerFunction:
    def __call__(self, *args: Node) -> Node:
        self.args = args
        self.out = self.forward(*args)
        return self.out

    def forward(self, *args: Node) -> Node:
        raise NotImplementedError

    def bwd(self, out: Node, *args: Node) -> None:
        raise NotImplementedError

    def backward(self) -> None:
        self.bwd(self.out, *self.args)


class Relu(LayerFunction):
    def forward(self, *args: Node) -> Node:
        (inp,) = args
        return inp.clamp_min(0.0)

    def bwd(self, out: Node, *args: Node) -> None:
        (inp,) = args
        inp.g = (inp > 0).to(inp.dtype) * out.g


class Lin(LayerFunction):
    def __init__(self, w: Node, b: Node) -> None:
        self.w, self.b = w, b

    def forward(self, *args: Node) -> Node:
        (inp,) = args
        return inp @ self.w + self.b

    def bwd(self, out: Node, *args: Node) -> None:
        (inp,) = args
        inp.g = out.g @ self.w.t()
        self.w.g = inp.t() @ out.g
        self.b.g = out.g.sum(0)


class Mse(LayerFunction):
    def forward(self, *args: Node) -> Node:
        inp, targ = args
        return (inp.squeeze(1) - targ).pow(2).mean()

    def bwd(self, out: Node, *args: Node) -> None:  # noqa: ARG002
        inp, targ = args
        inp.g = 2.0 * (inp.squeeze(1) - targ).unsqueeze(1) / targ.shape[0]


class Model:
    def __init__(self, w1: Node, b1: Node, w2: Node, b2: Node) -> None:
        self.layers: list[LayerFunction] = [Lin(w1, b1), Relu(), Lin(w2, b2)]
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


LAYER_FUNCTION = Rung(
    name="layer_function",
    title="Base class LayerFunction",
    gain="What all layers share stands in one place; a layer is two formulas.",
    cost="Layers are still called backwards by hand: a list knows no branches.",
    shown=(LayerFunction, Relu, Lin, Mse, Model),
    start=_Attempt,
)
