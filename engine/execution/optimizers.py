"""Optimisers, each held step by step against PyTorch's own of the same name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from layerscope.engine.basis.registry import Registry

__all__ = [
    "OPTIMIZERS", "Adam", "AdamW", "Momentum", "Nesterov", "Optimizer", "RmsProp", "Sgd",
]  # fmt: skip


class Optimizer(ABC):
    """Changes parameters by their gradients; knows each by a name, under which it keeps its state.

    Args:
        rate: the learning rate; may be set anew before any step.
        weight_decay: the share of a parameter by which it is drawn to zero, as PyTorch's own
            optimiser of the same name does it.
        momentum: of the optimisers that have one.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]
    help: ClassVar[str]
    has_momentum: ClassVar[bool] = False
    """Whether it looks at ``momentum``."""
    copies: ClassVar[int] = 0
    """How many tensors of a parameter's size it keeps beside it."""

    def __init__(self, rate: float, *, weight_decay: float = 0.0, momentum: float = 0.9) -> None:
        self.rate = rate
        self.weight_decay = weight_decay
        self.momentum = momentum
        self.step = 0
        """Of the training, from 1; counted by who trains."""
        self.kept: dict[str, dict[str, Tensor]] = {}
        """By parameter: what is remembered of its gradients."""

    def apply(self, name: str, value: Tensor, gradient: Tensor) -> None:
        """One step of the parameter ``name``: changes ``value`` in place; both float32 or wider."""
        kept = self.kept.setdefault(name, {})
        self._apply(value, self._decayed(value, gradient), kept)

    def _decayed(self, value: Tensor, gradient: Tensor) -> Tensor:
        return gradient.add(value, alpha=self.weight_decay) if self.weight_decay else gradient

    @abstractmethod
    def _apply(self, value: Tensor, g: Tensor, kept: dict[str, Tensor]) -> None:
        """Changes ``value`` by ``g``, and what is kept of the parameter."""

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, copied."""
        kept = {n: {k: t.clone() for k, t in each.items()} for n, each in self.kept.items()}
        return {"step": self.step, "kept": kept}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.step = int(state["step"])
        kept: Mapping[str, Mapping[str, Tensor]] = state["kept"]
        self.kept = {n: {k: t.clone() for k, t in each.items()} for n, each in kept.items()}


OPTIMIZERS: Registry[type[Optimizer]] = Registry("optimizer")


@OPTIMIZERS.register
class Sgd(Optimizer):
    """Stochastic gradient descent."""

    name = "sgd"
    formula = "w ← w − η·g"
    source = "Robbins & Monro 1951; torch.optim.SGD"
    help = "The gradient itself, times the learning rate."

    def _apply(self, value: Tensor, g: Tensor, kept: dict[str, Tensor]) -> None:  # noqa: ARG002
        value.add_(g, alpha=-self.rate)


@OPTIMIZERS.register
class Momentum(Optimizer):
    """Gradient descent with a heavy ball."""

    name = "momentum"
    formula = "b ← μ·b + g;  w ← w − η·b"
    source = "Polyak 1964; torch.optim.SGD(momentum=μ)"
    help = "A running sum of gradients: up to 1/(1 − μ) times the step."
    has_momentum = True
    copies = 1

    def _apply(self, value: Tensor, g: Tensor, kept: dict[str, Tensor]) -> None:
        value.add_(self._sum(g, kept), alpha=-self.rate)

    def _sum(self, g: Tensor, kept: dict[str, Tensor]) -> Tensor:
        """The running sum with ``g`` in it."""
        if "sum" in kept:
            kept["sum"].mul_(self.momentum).add_(g)
        else:
            kept["sum"] = g.clone()
        return kept["sum"]


@OPTIMIZERS.register
class Nesterov(Momentum):
    """Nesterov's accelerated gradient."""

    name = "nesterov"
    formula = "b ← μ·b + g;  w ← w − η·(g + μ·b)"
    source = "Nesterov 1983, Sutskever et al. 2013; torch.optim.SGD(nesterov=True)"
    help = "Momentum that looks one step ahead."

    def _apply(self, value: Tensor, g: Tensor, kept: dict[str, Tensor]) -> None:
        value.add_(g.add(self._sum(g, kept), alpha=self.momentum), alpha=-self.rate)


@OPTIMIZERS.register
class RmsProp(Optimizer):
    """Hinton's root mean square propagation."""

    name = "rmsprop"
    formula = "v ← 0.99·v + 0.01·g²;  w ← w − η·g/(√v + 1e-8)"
    source = "Hinton 2012, lecture 6e; torch.optim.RMSprop"
    help = "Divides each gradient by its own recent size."
    copies = 1
    DECAY: ClassVar[float] = 0.99
    EPSILON: ClassVar[float] = 1e-8

    def _apply(self, value: Tensor, g: Tensor, kept: dict[str, Tensor]) -> None:
        square = _zeros_at_first(kept, "square", g)
        square.mul_(self.DECAY).addcmul_(g, g, value=1 - self.DECAY)
        value.addcdiv_(g, square.sqrt().add_(self.EPSILON), value=-self.rate)


@OPTIMIZERS.register
class Adam(Optimizer):
    """Adaptive moments, with PyTorch's defaults."""

    name = "adam"
    formula = "m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  w ← w − η·m̂/(√v̂ + 1e-8)"
    source = "Kingma & Ba 2015; torch.optim.Adam"
    help = "Momentum and RMSProp, both corrected for their start: a gradient's scale divides out."
    copies = 2
    BETA_1: ClassVar[float] = 0.9
    BETA_2: ClassVar[float] = 0.999
    EPSILON: ClassVar[float] = 1e-8

    def _apply(self, value: Tensor, g: Tensor, kept: dict[str, Tensor]) -> None:
        mean = _zeros_at_first(kept, "mean", g)
        square = _zeros_at_first(kept, "square", g)
        mean.lerp_(g, 1 - self.BETA_1)
        square.mul_(self.BETA_2).addcmul_(g, g, value=1 - self.BETA_2)
        root = (1 - self.BETA_2**self.step) ** 0.5
        size = self.rate / (1 - self.BETA_1**self.step)
        value.addcdiv_(mean, square.sqrt().div_(root).add_(self.EPSILON), value=-size)


@OPTIMIZERS.register
class AdamW(Adam):
    """Adam with decoupled weight decay."""

    name = "adamw"
    formula = "w ← w·(1 − η·λ);  then as Adam"
    source = "Loshchilov & Hutter 2019; torch.optim.AdamW"
    help = "Adam, with a weight decay λ that is not divided by the gradient's size."

    def apply(self, name: str, value: Tensor, gradient: Tensor) -> None:
        value.mul_(1 - self.rate * self.weight_decay)
        super().apply(name, value, gradient)

    def _decayed(self, value: Tensor, gradient: Tensor) -> Tensor:  # noqa: ARG002
        return gradient


def _zeros_at_first(kept: dict[str, Tensor], name: str, like: Tensor) -> Tensor:
    """What is kept by that name; at a parameter's first step as many zeros."""
    if name not in kept:
        kept[name] = torch.zeros_like(like)
    return kept[name]
