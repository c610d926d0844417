"""What a map costs, known before anything starts, and the limits it is held to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from layerscope.engine.execution.cost import Cost, Limits, OverLimit
from layerscope.engine.maps.outcomes import OUTCOMES, total_cost
from layerscope.engine.maps.plane import Plane, Sample

__all__ = ["MapLimits", "map_cost"]


NO_COST = {
    "seed": 0, "init_scale": 1.0, "bias_std": 0.0, "bias_mean": 0.0, "output_scale": 1.0,
    "input_scale": 1.0, "input_mean": 0.0, "reduction": "mean", "norm_gain": 1.0,
    "branch_scale": 1.0, "layer_gains": "", "backward_scale": 1.0,
}  # fmt: skip
"""What an experiment costs does not depend on these, the usual axes: it is asked once for all."""
NO_COST_TRAINED = {"learning_rate": 1.0, "momentum": 0.0, "weight_decay": 0.0}
"""Likewise of a training."""


@dataclass(frozen=True, slots=True)
class MapLimits:
    """The most that one map may have and cost; ``cell``: each of its experiments."""

    cells: int = 20_000
    """Experiments: cells times seeds."""
    flops: float = 2e15
    """Of all of them together."""
    cell: Limits = field(default_factory=Limits)

    def count(self, plane: Plane) -> Plane:
        """The plane, if it has no more experiments than it may. Errors: ``OverLimit``."""
        if plane.total > self.cells:
            raise _over("experiments", self.cells, plane.total, "fewer values or seeds")
        return plane

    def check(self, samples: Sequence[Sample]) -> Cost:
        """What all samples take, if that is within the limits. Errors: ``OverLimit``."""
        needed = map_cost(samples, self.cell)
        if needed.flops > self.flops:
            raise _over("floating point operations", int(self.flops), needed.flops,
                        "fewer values or seeds, or smaller networks")  # fmt: skip
        return needed


def map_cost(samples: Sequence[Sample], cell: Limits | None = None) -> Cost:
    """Operations of all samples, bytes of the largest.

    Errors: ``OverLimit`` for the first that is over the limits of ``cell``.
    """
    known: dict[object, Cost] = {}
    flops = most = 0
    for sample in samples:
        like = sample.experiment.model_copy(update=NO_COST)
        how = (
            None if sample.training is None else sample.training.model_copy(update=NO_COST_TRAINED)
        )
        if (like, how) not in known:
            once = total_cost(like, OUTCOMES[sample.outcome], how)
            known[like, how] = once if cell is None else cell.check(once)
        once = known[like, how]
        flops, most = flops + once.flops, max(most, once.bytes)
    return Cost(flops, most)


def _over(limit: str, allowed: int, asked: int, instead: str) -> OverLimit:
    return OverLimit(limit, allowed, asked, what="this map", instead=instead)
