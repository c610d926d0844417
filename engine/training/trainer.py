"""One of our networks, trained a step at a time; every step is a function of what was specified,
of the changes made on the way, and of its number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.basis.narrow import widened
from layerscope.engine.execution.cost import Cost, cost
from layerscope.engine.execution.network import layout, seeds
from layerscope.engine.execution.optimizers import OPTIMIZERS
from layerscope.engine.execution.passes import BackwardStep, LossStep, Step, passes
from layerscope.engine.execution.recording import Forward, Loss, recorded
from layerscope.engine.execution.records import Record
from layerscope.engine.execution.schedules import factor
from layerscope.engine.execution.steps import KeptNetwork
from layerscope.engine.experiment.data import DATASETS
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.statistics import Statistics, statistics
from layerscope.engine.training.specification import Training

__all__ = ["Done", "Trainer", "step_cost"]

GROWTH_STEPS = 200
"""Steps without an overflow after which a dynamic scale doubles."""
LARGEST_SCALE = 2.0**40


def step_cost(experiment: Experiment, training: Training) -> Cost:
    """Of one recorded step: the passes, and beside the parameters what the optimiser keeps of each,
    its gradient, itself in float32, and as it was."""
    entry = max(experiment.torch_dtype.itemsize, torch.float32.itemsize)
    weights = sum(
        (info.n_in + 1) * info.shape[1] for info in layout(experiment) if info.role == "linear_map"
    )
    copies = 3 + OPTIMIZERS[training.optimizer].copies
    return cost(experiment).beside(Cost(copies * weights, copies * entry * weights))


@dataclass(frozen=True, slots=True)
class Done:
    """What one step has come to. ``records`` are empty where it was not recorded."""

    number: int
    loss: float
    baseline: float
    rate: float
    scale: float
    """What the gradients were multiplied with on their way back."""
    skipped: bool
    records: list[Record]
    cause: str | None
    """Why the loss is not finite where the output is."""
    gradients: dict[str, Statistics]
    """By ``layer.parameter``: as the optimiser had it, unscaled."""
    updates: dict[str, Statistics]
    """By how much the parameter changed, in its own format."""
    input: Statistics | None


@dataclass(slots=True)
class _Passed:
    """What both passes of a step left."""

    network: KeptNetwork
    loss: float = math.nan
    cause: str | None = None
    records: list[Record] = field(default_factory=list)
    gradients: dict[str, Tensor] = field(default_factory=dict)

    def take(self, step: Step) -> None:
        """Of a step what the optimiser needs."""
        if isinstance(step, LossStep):
            self.loss = float(step.loss)
        elif isinstance(step, BackwardStep):
            for name, gradient in step.layer.gradients.items():
                own = self.network.loss.unscaled(widened(gradient))
                self.gradients[f"{step.info.name}.{name}"] = own


class Trainer:
    """Trains an experiment's network.

    ``rate`` may be set anew between two steps. Parameters of a 16-bit format are kept in float32
    beside the network, as mixed precision does.

    >>> trainer = Trainer(Experiment(depth=2, width=16, batch=16), Training())
    >>> first, *_, last = [trainer.advance().loss for _ in range(30)]
    >>> last < first
    True
    """

    def __init__(self, experiment: Experiment, training: Training) -> None:
        self.experiment, self.training = experiment, training
        self.network = KeptNetwork(experiment)
        self.rate = training.learning_rate
        self.scale = training.loss_scale
        self.step = 0
        """Steps done."""
        self.restored = 0
        """Of which so many were done by whoever gave it its state."""
        self.optimizer = OPTIMIZERS[training.optimizer](
            self.rate, weight_decay=training.weight_decay, momentum=training.momentum
        )
        self._since_overflow = 0
        self._baseline = self.network.loss.baseline(self.network.target)
        self._masters: dict[str, Tensor] = {}
        for step in passes(self.network):
            if isinstance(step, LossStep):
                break  # all layers are drawn
        for name, value in self._parameters():
            self._masters[name] = widened(value)

    def _parameters(self) -> list[tuple[str, Tensor]]:
        return [
            (f"{info.name}.{name}", value)
            for info in self.network.infos
            for name, value in self.network.layers[info.index].parameters.items()
        ]

    def advance(
        self, *, record: bool = False, should_stop: ShouldStop = never,
        seen: Callable[[Step], None] | None = None,
    ) -> Done:  # fmt: skip
        """One step: forward, backward, and what the optimiser makes of it. ``seen`` is handed the
        tensors of a step that is not recorded, as they come.

        Errors: ``Stopped``; the parameters are then as before.
        """
        number = self.step + 1
        training, network = self.training, self.network
        if training.fresh:
            network.feed(self._sample(number))
            self._baseline = network.loss.baseline(network.target)
        scale = network.loss.scale = self.scale * self.experiment.backward_scale
        passed = self._passes(record, should_stop, seen)
        gradients = passed.gradients
        rate = self.rate * factor(training.schedule, number, training.steps, training.warm_up)
        skipped = training.dynamic and not all(
            bool(torch.isfinite(g).all()) for g in gradients.values()
        )
        told = {n: statistics(g) for n, g in gradients.items()} if record else {}
        updates = {} if skipped else self._apply(gradients, rate, record=record)
        self._rescale(overflowed=skipped)
        self.step = number
        return Done(
            number, passed.loss, self._baseline, rate, scale, skipped, passed.records,
            passed.cause, told, updates, statistics(network.x) if record else None,
        )  # fmt: skip

    def _passes(
        self, record: bool, should_stop: ShouldStop, seen: Callable[[Step], None] | None
    ) -> _Passed:
        network, passed = self.network, _Passed(self.network)
        if record:
            for event in recorded(network, should_stop, passed.take):
                if isinstance(event, Forward):
                    passed.records.append(event.record)
                elif isinstance(event, Loss) and event.cause:
                    passed.cause = event.cause.said
            return passed
        for step in passes(network, should_stop):
            if seen is not None:
                seen(step)
            passed.take(step)
        return passed

    def _apply(
        self, gradients: Mapping[str, Tensor], rate: float, *, record: bool
    ) -> dict[str, Statistics]:
        optimizer, updates = self.optimizer, {}
        optimizer.step += 1
        optimizer.rate = rate
        for info in self.network.infos:
            own = self.network.layers[info.index].parameters
            for name, value in own.items():
                full = f"{info.name}.{name}"
                master = self._masters[full]
                before = value.clone() if record else value
                optimizer.apply(full, master, gradients[full])
                own[name] = master.to(value.dtype)
                if record:
                    updates[full] = statistics(widened(own[name]) - widened(before))
        return updates

    def _rescale(self, *, overflowed: bool) -> None:
        if not self.training.dynamic:
            return
        self._since_overflow = 0 if overflowed else self._since_overflow + 1
        if overflowed:
            self.scale /= 2
        elif self._since_overflow == GROWTH_STEPS:
            self.scale, self._since_overflow = min(2 * self.scale, LARGEST_SCALE), 0

    def _sample(self, number: int) -> Any:
        """The batch of a step: the same however often it is asked for."""
        e = self.experiment
        own = np.random.SeedSequence([seeds(e)[0], number]).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(own))
        return DATASETS[e.data].draw(e.batch, e.n_inputs, generator)

    def state(self) -> dict[str, Any]:
        """Everything that the steps to come depend on beside the specification, copied."""
        return {
            "step": self.step, "rate": self.rate, "scale": self.scale,
            "since_overflow": self._since_overflow,
            "parameters": {name: value.clone() for name, value in self._masters.items()},
            "optimizer": self.optimizer.state(),
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave, to the same bits.

        Errors: ``ValueError`` for the state of another network.
        """
        own = {name: value.shape for name, value in self._masters.items()}
        given = {name: value.shape for name, value in state["parameters"].items()}
        if own != given:
            raise ValueError("expected the state of this network, got another's")
        self.step = self.restored = int(state["step"])
        self.rate = float(state["rate"])
        self.scale, self._since_overflow = float(state["scale"]), int(state["since_overflow"])
        self.optimizer.restore(state["optimizer"])
        for name, value in state["parameters"].items():
            self._masters[name] = value.clone()
        for info in self.network.infos:
            own_parameters = self.network.layers[info.index].parameters
            for name, value in own_parameters.items():
                own_parameters[name] = self._masters[f"{info.name}.{name}"].to(value.dtype)
