"""A network run in one number format: the statistics of every tensor as it came out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from layerscope.engine.analyses.precision.formats import FORMATS, Fit, fit
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.execution.network import LayerInfo, Network
from layerscope.engine.execution.recording import record_all
from layerscope.engine.execution.records import Record
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.statistics import Statistics

__all__ = ["KINDS", "FormatRun", "Kind", "TensorSummary", "run_in_format", "tensor_summaries"]

Kind = Literal["activation", "gradient", "weight", "weight_gradient"]
KINDS: tuple[Kind, ...] = ("activation", "gradient", "weight", "weight_gradient")


@dataclass(frozen=True, slots=True)
class TensorSummary:
    """One tensor: what it is, and its statistics. ``parameter`` is empty but for parameters."""

    kind: Kind
    layer: int
    block: int
    name: str
    parameter: str
    statistics: Statistics = field(repr=False)
    ends_block: bool

    @property
    def fits(self) -> dict[str, Fit]:
        """By format."""
        return {name: fit(self.statistics.histogram, f) for name, f in FORMATS.items()}

    def to_dict(self) -> dict[str, Any]:
        s = self.statistics
        return {
            "kind": self.kind, "layer": self.layer, "block": self.block, "name": self.name,
            "parameter": self.parameter or None, "count": s.count, "zeros": s.zeros,
            "nonfinite": s.count - s.finite, "histogram": s.histogram.to_dict(),
            "formats": {name: f.to_dict() for name, f in self.fits.items()},
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class FormatRun:
    """The same network run in one dtype, and the first tensor in the order of computation that is
    ``broken``: has an entry that is not finite."""

    dtype: str
    loss: float
    tensors: tuple[TensorSummary, ...] = field(repr=False)
    broken: TensorSummary | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "dtype": self.dtype,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "broken": self.broken
            and {k: getattr(self.broken, k) for k in ("kind", "layer", "block", "name")},
            "tensors": [
                {
                    "kind": t.kind, "layer": t.layer, "parameter": t.parameter or None,
                    "zeros": t.statistics.zeros, "subnormal": t.statistics.subnormal,
                    "nonfinite": t.statistics.count - t.statistics.finite,
                    "std": t.statistics.std,
                }
                for t in self.tensors
            ],
        }  # fmt: skip


def tensor_summaries(infos: Sequence[LayerInfo], records: Sequence[Record]) -> list[TensorSummary]:
    """Every tensor recorded: activations and weights as they are computed, then gradients."""
    found: list[tuple[Kind, LayerInfo, Statistics | None, str]] = []
    both = list(zip(infos, records, strict=False))
    for i, r in both:
        found += [("weight", i, p.value, name) for name, p in r.parameters.items()]
        found.append(("activation", i, r.activation, ""))
    for i, r in reversed(both):
        found.append(("gradient", i, r.gradient, ""))
        found += [("weight_gradient", i, p.gradient, name) for name, p in r.parameters.items()]
    return [
        TensorSummary(kind, i.index, i.block, i.name, name, s, i.ends_block)
        for kind, i, s, name in found
        if s is not None
    ]


def run_in_format(experiment: Experiment, dtype: str, should_stop: ShouldStop = never) -> FormatRun:
    """``experiment`` with its number format changed to ``dtype``.

    >>> run_in_format(Experiment(depth=1, width=4, batch=4), "float16").broken is None
    True
    """
    network = Network(experiment.model_copy(update={"dtype": dtype}))
    records, loss = record_all(network, should_stop)
    summaries = tensor_summaries(network.infos, records)
    broken = next((t for t in summaries if t.statistics.finite < t.statistics.count), None)
    return FormatRun(dtype, loss.value, tuple(summaries), broken)
