"""What is read off a network after its training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.execution.passes import LossStep, passes
from layerscope.engine.experiment import Experiment
from layerscope.engine.training import Trainer, Training

__all__ = ["Trained", "train"]


@dataclass(frozen=True, slots=True)
class Trained:
    """On the experiment's own batch: the loss and, for a loss over classes, the share of samples
    that the network puts into the right one. ``steps`` are those done before a loss was not finite.
    """

    loss: float
    accuracy: float | None
    steps: int


def train(experiment: Experiment, how: Training, *, should_stop: ShouldStop = never) -> Trained:
    """Train the network of ``experiment`` as ``how`` says.

    >>> digits = Experiment(data="digits", loss="cross_entropy", depth=2, width=16, batch=50)
    >>> before, after = (train(digits, Training(steps=n)) for n in (1, 30))
    >>> after.loss < before.loss, after.accuracy > before.accuracy
    (True, True)
    """
    trainer = Trainer(experiment, how)
    network = trainer.network
    own = network.x, network.target
    for _ in range(how.steps):
        done = trainer.advance(should_stop=should_stop)
        if not math.isfinite(done.loss):
            return Trained(done.loss, None, done.number - 1)
    network.x, network.target = own  # of fresh batches the last would be there
    for step in passes(network, should_stop):
        if isinstance(step, LossStep):
            loss = float(step.loss)
            if not network.loss.classifies or not math.isfinite(loss):
                return Trained(loss, None, how.steps)
            right = step.output.argmax(1) == network.target  # (batch,)
            return Trained(loss, float(right.to(torch.float64).mean()), how.steps)
    raise AssertionError("a pass has a loss")
