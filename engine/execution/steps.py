"""A few real steps of training on an experiment's own batch: what a first look cannot tell."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.execution.network import LayerInfo, Network
from layerscope.engine.execution.passes import BackwardStep, LossStep, passes
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import Layer

__all__ = ["OPTIMIZERS", "Adam", "KeptNetwork", "Optimizer", "StochasticGradient", "training"]


class KeptNetwork(Network):
    """A network whose layers are drawn once and then stay, so that they can be trained.

    ``samples``: of the batch, the first so many; all where None.
    """

    def __init__(self, experiment: Experiment, samples: int | None = None) -> None:
        super().__init__(experiment)
        if samples is not None:  # copied, so that the whole batch is not kept
            self.x, self.target = self.x[:samples].clone(), self.target[:samples].clone()
        self.layers: dict[int, Layer] = {}

    def build(self, info: LayerInfo, x: Tensor) -> Layer:
        """The layer at ``info``, drawn the first time."""
        if info.index not in self.layers:
            self.layers[info.index] = super().build(info, x)
        return self.layers[info.index]


class Optimizer(ABC):
    """Changes a parameter by its gradient; knows every parameter by a name."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.step = 0
        """Of the training, from 1; counted by who trains."""

    @abstractmethod
    def change(self, name: str, gradient: Tensor) -> Tensor:
        """What is added to the parameter ``name``, of the shape of ``gradient``."""


class StochasticGradient(Optimizer):
    """−rate · g."""

    def change(self, name: str, gradient: Tensor) -> Tensor:  # noqa: ARG002
        return -self.rate * gradient


class Adam(Optimizer):
    """Kingma & Ba 2015, with PyTorch's defaults: a gradient's scale is divided out."""

    BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self._moments: dict[str, tuple[Tensor, Tensor]] = {}

    def change(self, name: str, gradient: Tensor) -> Tensor:
        g = gradient.float() if gradient.dtype.itemsize < 4 else gradient
        zero = torch.zeros_like(g)
        first, second = self._moments.get(name, (zero, zero))
        first = self.BETA_1 * first + (1 - self.BETA_1) * g
        second = self.BETA_2 * second + (1 - self.BETA_2) * g * g
        self._moments[name] = first, second
        root = (second / (1 - self.BETA_2**self.step)).sqrt() + self.EPSILON
        return -self.rate * (first / (1 - self.BETA_1**self.step)) / root


OPTIMIZERS: dict[str, type[Optimizer]] = {"SGD": StochasticGradient, "Adam": Adam}


def training(
    network: KeptNetwork, optimizer: Optimizer, *, should_stop: ShouldStop = never
) -> Iterator[float]:
    """Yields the loss before every step, without end; ends after one that is not finite.

    >>> network = KeptNetwork(Experiment(depth=1, width=4, batch=8))
    >>> losses = training(network, StochasticGradient(0.1))
    >>> first, *_, last = [next(losses) for _ in range(20)]
    >>> last < first
    True
    """
    while True:
        optimizer.step += 1
        loss = math.nan
        for step in passes(network, should_stop):
            if isinstance(step, LossStep):
                loss = float(step.loss)
                yield loss
                if not math.isfinite(loss):
                    return
            elif isinstance(step, BackwardStep):
                for name, gradient in step.layer.gradients.items():
                    value = step.layer.parameters[name]
                    change = optimizer.change(f"{step.info.name}.{name}", gradient)
                    step.layer.parameters[name] = (value + change).to(value.dtype)
