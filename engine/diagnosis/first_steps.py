"""What a few real steps of training change: copies that part, layers and parameters that get a
gradient then.

At initialisation a residual branch of zeros (Fixup, zero-γ) looks like a network that cannot learn.
"""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.lasting import STEPS, alike, empty_gradients, unmoved, unreached
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
    """Trains a little where units are copies or no gradient comes, to layers or to parameters of
    them, and records what that changed.

    A training that overflows tells nothing.
    """
    copies, silent, still = alike(evidence), unreached(evidence), unmoved(evidence)
    if not (copies or silent or still) or not steps_flops(experiment):
        return
    watched = {record.facts.name for record in still}
    network, descent = KeptNetwork(experiment, SAMPLES), _Remembering(RATE, watched)
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
    for record in still:
        block = evidence.blocks[evidence.block(record) - 1]
        empty = empty_gradients(record, block)
        record.without_gradient = [n for n in empty if not descent.has_moved(record, n)]


class _Remembering(Sgd):
    """Keeps the gradients of the newest step, and of the layers that are ``watched`` whether the
    gradient of a parameter was anything but zeros at any."""

    def __init__(self, rate: float, watched: Collection[str]) -> None:
        super().__init__(rate)
        self._newest: dict[str, Tensor] = {}
        self._watched = watched
        self._moved: set[str] = set()

    def apply(self, name: str, value: Tensor, gradient: Tensor) -> None:
        self._newest[name] = gradient
        if name.rpartition(".")[0] in self._watched and bool(gradient.count_nonzero()):
            self._moved.add(name)
        super().apply(name, value, gradient)

    def has_moved(self, record: Record, parameter: str) -> bool:
        """Whether any step had a gradient of it."""
        return f"{record.facts.name}.{parameter}" in self._moved

    def of(self, record: Record) -> list[Tensor]:
        """Those by a record's parameters, the weight's first."""
        weight = record.weight_name
        names = sorted(record.parameters, key=lambda name: name != weight)
        return [self._newest[f"{record.facts.name}.{name}"] for name in names]
