"""What an experiment costs, known before anything is allocated, and the limits it is held to."""

from __future__ import annotations

from dataclasses import dataclass

from layerscope.engine.execution.memory import peak_bytes, repeated, skeleton
from layerscope.engine.execution.network import LayerInfo, layout
from layerscope.engine.execution.prices import TYPICAL, Prices, prices
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers.initialization import INITS

__all__ = ["Cost", "Limits", "OverLimit", "cost", "here", "passes_flops"]


@dataclass(frozen=True, slots=True)
class Cost:
    """Work, in operations of float32's matrix product that take as long on one core, and bytes held
    at the peak."""

    flops: int
    bytes: int

    def then(self, other: Cost) -> Cost:
        """What this costs and, once its memory is free again, ``other`` after it."""
        return Cost(self.flops + other.flops, max(self.bytes, other.bytes))

    def beside(self, other: Cost) -> Cost:
        """What both cost where they are held at the same time."""
        return Cost(self.flops + other.flops, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class Limits:
    """The most an experiment may cost. The defaults suit a core of today: about a
    minute, 4 GiB."""

    flops: int = 4_000_000_000_000
    bytes: int = 4 * 2**30

    def allow(self, needed: Cost) -> bool:
        """Whether ``needed`` is within the limits."""
        return needed.flops <= self.flops and needed.bytes <= self.bytes

    def check(self, needed: Cost) -> Cost:
        """``needed``, if it is within the limits. Errors: ``OverLimit``."""
        if needed.flops > self.flops:
            raise OverLimit("floating point operations", self.flops, needed.flops)
        if needed.bytes > self.bytes:
            raise OverLimit("bytes of memory", self.bytes, needed.bytes)
        return needed


class OverLimit(ValueError):
    """A specification that costs more than allowed; names the limit and by how much."""

    def __init__(
        self, limit: str, allowed: int, asked: int, *, what: str = "this experiment",
        instead: str = "a smaller depth, width or batch",
    ) -> None:  # fmt: skip
        self.limit, self.allowed, self.asked = limit, allowed, asked
        super().__init__(
            f"{what} needs {asked:.3g} {limit}, {asked / allowed:.3g} times the limit of "
            f"{allowed:.3g}; expected {instead}"
        )


def cost(experiment: Experiment) -> Cost:
    """Of the forward and backward pass with statistics, at this machine's prices.

    >>> narrow, wide = (cost(Experiment(dtype=name)) for name in ("float16", "float32"))
    >>> narrow.flops > wide.flops, narrow.bytes < wide.bytes
    (True, True)
    """
    return Cost(passes_flops(experiment, prices()), peak_bytes(experiment))


def passes_flops(experiment: Experiment, at: Prices) -> int:
    """The passes' operations alone, at whatever prices."""
    infos = layout(skeleton(experiment))
    each = [_layer_flops(experiment, info, at) for info in infos]
    last = sum(f for f, info in zip(each, infos, strict=True) if info.block == infos[-1].block - 1)
    return int(sum(each) + repeated(experiment) * last)


def here(typical: int, experiment: Experiment) -> int:
    """What work on networks like ``experiment`` takes on this machine that takes so many operations
    at typical prices."""
    as_typical = passes_flops(experiment, TYPICAL)
    return int(typical * passes_flops(experiment, prices()) / as_typical)


def _layer_flops(experiment: Experiment, info: LayerInfo, at: Prices) -> float:
    """A linear layer multiplies three times: forward, and for the gradients by input and weight."""
    n_out = info.shape[1]
    found = at.layer + experiment.batch * n_out * at.entry[experiment.dtype]
    if info.role == "linear_map":
        weights = info.n_in * n_out
        found += 6 * experiment.batch * weights * at.product[experiment.dtype]
        found += weights * at.entry[experiment.dtype]  # drawn; it and its gradient are looked at
        found += INITS[experiment.init].draw_flops(info.n_in, n_out)
    return found
