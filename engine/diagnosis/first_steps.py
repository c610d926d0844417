"""What a few real steps of training change: copies that part, layers that a gradient reaches then.

At initialisation a residual branch of zeros (Fixup, zero-γ) looks like a network that cannot learn.
"""

from __future__ import annotations

from torch import Tensor

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.lasting import STEPS, alike, unreached
from layerscope.engine.execution.cost import passes_flops
from layerscope.engine.execution.optimizers import Sgd
from layerscope.engine.execution.prices import TYPICAL
from layerscope.engine.execution.records import Record, all_alike
from layerscope.engine.execution.steps import KeptNetwork, training
from layerscope.engine.experiment.specification import Experiment

__all__ = ["steps_flops", "take_steps"]

RATE = 0.01
SAMPLES = 64  # of the batch: enough to tell copies apart
BUDGET_FLOPS = 40_000_000_000
"""For all steps, most of a second on a core, at typical prices; what takes more is not asked."""


def steps_flops(experiment: Experiment) -> int:
    """What taking the steps costs, at typical prices; 0 where that is more than they are worth."""
    small = experiment.model_copy(update={"batch": min(SAMPLES, experiment.batch)})
    flops = (STEPS + 1) * passes_flops(small, TYPICAL)
    return flops if flops <= BUDGET_FLOPS else 0


def take_steps(experiment: Experiment, evidence: Evidence, should_stop: ShouldStop = never) -> None:
    """Trains a little where units are copies or no gradient comes, and records what that changed.

    A training that overflows tells nothing.
    """
    copies, silent = alike(evidence), unreached(evidence)
    if not (copies or silent) or not steps_flops(experiment):
        return
    network, descent = KeptNetwork(experiment, SAMPLES), _Remembering(RATE)
    losses = training(network, descent, should_stop=should_stop)
    taken = sum(1 for _, _ in zip(range(STEPS + 1), losses, strict=False))
    if taken <= STEPS:
        return
    for record in copies:
        weight = network.layers[record.facts.index].parameters["weight"]
        axis = record.facts.weight_unit_axis
        record.stays_alike = all_alike(weight, axis) and all_alike(descent.of(record)[0], axis)
    for record in silent:
        record.gradient_comes = any(bool(g.count_nonzero()) for g in descent.of(record))


class _Remembering(Sgd):
    """Keeps the gradients of the newest step."""

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self._newest: dict[str, Tensor] = {}

    def apply(self, name: str, value: Tensor, gradient: Tensor) -> None:
        self._newest[name] = gradient
        super().apply(name, value, gradient)

    def of(self, record: Record) -> list[Tensor]:
        """Those by a record's parameters, the weight's first."""
        weight = record.weight_name
        names = sorted(record.parameters, key=lambda name: name != weight)
        return [self._newest[f"{record.facts.name}.{name}"] for name in names]
