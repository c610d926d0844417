"""What a map costs, known before anything starts, and the limits it is held to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from layerscope.engine.execution.cost import Cost, Limits, OverLimit
from layerscope.engine.maps.outcomes import OUTCOMES, total_cost
from layerscope.engine.maps.plane import Plane, Sample

__all__ = ["MapLimits", "map_cost"]


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
        # What an experiment costs does not depend on how its weights are scaled, nor on the seed.
        like = sample.experiment.model_copy(update={"seed": 0, "init_scale": 1.0, "bias_std": 0.0})
        if (like, sample.training) not in known:
            once = total_cost(like, OUTCOMES[sample.outcome], sample.training)
            known[like, sample.training] = once if cell is None else cell.check(once)
        once = known[like, sample.training]
        flops, most = flops + once.flops, max(most, once.bytes)
    return Cost(flops, most)


def _over(limit: str, allowed: int, asked: int, instead: str) -> OverLimit:
    return OverLimit(limit, allowed, asked, what="this map", instead=instead)
