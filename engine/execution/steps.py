"""A few real steps of training on an experiment's own batch: what a first look cannot tell."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.basis.narrow import widened
from layerscope.engine.execution.network import LayerInfo, Network
from layerscope.engine.execution.optimizers import Optimizer
from layerscope.engine.execution.passes import BackwardStep, LossStep, passes
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import Layer

__all__ = ["KeptNetwork", "training"]


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


def training(
    network: KeptNetwork, optimizer: Optimizer, *, should_stop: ShouldStop = never
) -> Iterator[float]:
    """Yields the loss before every step, without end; ends after one that is not finite. What the
    loss multiplied its gradient with is divided out of every one that the optimiser has.

    >>> from layerscope.engine.execution.optimizers import Sgd
    >>> network = KeptNetwork(Experiment(depth=1, width=4, batch=8))
    >>> losses = training(network, Sgd(0.1))
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
                    wide = widened(value)
                    own = network.loss.unscaled(widened(gradient))
                    optimizer.apply(f"{step.info.name}.{name}", wide, own)
                    step.layer.parameters[name] = wide.to(value.dtype)
