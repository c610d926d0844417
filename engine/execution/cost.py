"""What an experiment costs, known before anything is allocated, and the limits it is held to."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from layerscope.engine.execution.network import layout
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.initialization import INITS

__all__ = ["Cost", "Limits", "OverLimit", "cost"]

ELEMENTWISE = 30  # operations per entry: activation, its derivative, statistics; a generous guess


@dataclass(frozen=True, slots=True)
class Cost:
    """Floating point operations of both passes, and bytes held at the peak."""

    flops: int
    bytes: int

    def then(self, other: Cost) -> Cost:
        """What this costs and, once its memory is free again, ``other`` after it."""
        return Cost(self.flops + other.flops, max(self.bytes, other.bytes))


@dataclass(frozen=True, slots=True)
class Limits:
    """The most an experiment may cost. The defaults suit two cores: about ten seconds, 4 GiB."""

    flops: int = 400_000_000_000
    bytes: int = 4 * 2**30

    def check(self, needed: Cost) -> Cost:
        """``needed``, if it is within the limits. Errors: ``OverLimit``."""
        if needed.flops > self.flops:
            raise OverLimit("floating point operations", self.flops, needed.flops)
        if needed.bytes > self.bytes:
            raise OverLimit("bytes of memory", self.bytes, needed.bytes)
        return needed


class OverLimit(ValueError):
    """A specification that costs more than allowed; names the limit and by how much."""

    def __init__(self, limit: str, allowed: int, asked: int) -> None:
        self.limit, self.allowed, self.asked = limit, allowed, asked
        super().__init__(
            f"this experiment needs {asked:.3g} {limit}, {asked / allowed:.3g} times the limit of "
            f"{allowed:.3g}; expected a smaller depth, width or batch"
        )


def cost(experiment: Experiment) -> Cost:
    """Floating point operations and peak bytes of the forward and backward pass with statistics.

    A linear layer costs 2·batch·n_in·n_out forward and twice that backward. Held at the peak:
    every weight, each layer's output (what backward needs), and one layer's gradients.

    >>> cost(Experiment(depth=1, width=10, batch=10)).flops
    16200
    """
    size = torch.finfo(experiment.torch_dtype).bits // 8
    batch = experiment.batch
    flops = 0
    held = batch * experiment.n_inputs * 4
    largest = 0
    for info in layout(experiment):
        n_out = info.shape[1]
        entries = batch * n_out
        held += entries * size
        flops += ELEMENTWISE * entries
        if info.role == "linear_map":
            weights = info.n_in * n_out
            flops += 6 * batch * weights + ELEMENTWISE * weights
            flops += INITS[experiment.init].draw_flops(info.n_in, n_out)
            held += weights * size
            largest = max(largest, 3 * weights * max(size, 4) + 3 * entries * max(size, 4))
    return Cost(flops, held + largest)
