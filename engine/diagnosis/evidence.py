"""What the rules look at: an experiment's records, in the order in which the signal passes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from layerscope.engine.execution.records import LayerRecord
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.statistics import Statistics
from layerscope.engine.theory import Prediction

__all__ = ["Evidence", "Trend"]


@dataclass(frozen=True, slots=True)
class Trend:
    """A straight line through ln(figure) by block.

    ``slope`` is in nats per block with its standard error, ``span`` the fitted change from the
    first to the last block in powers of ten, ``blocks`` the first and last block that entered.
    """

    slope: float
    error: float
    span: float
    blocks: tuple[int, int]

    @property
    def factor(self) -> float:
        """By what the figure is multiplied from one block to the next."""
        return math.exp(self.slope)


@dataclass(frozen=True)
class Evidence:
    """An experiment with the records of its layers, complete or as far as they have come."""

    experiment: Experiment
    records: Sequence[LayerRecord]
    theory: Prediction | None = None
    """What was to be expected; None as long as the records are still coming."""
    loss: float | None = None
    baseline: float | None = None
    """The loss of the best constant output."""
    agreement: Mapping[int, float] | None = None
    """Cosine of each linear layer's weight gradient with float32's; narrow formats only."""

    @cached_property
    def ends(self) -> list[LayerRecord]:
        """The record at the end of each hidden block: what it hands on."""
        return [
            r for r in self.records if r.info.ends_block and r.info.block <= self.experiment.depth
        ]

    @cached_property
    def linears(self) -> list[LayerRecord]:
        """The linear layers' records, the output layer's included."""
        return [r for r in self.records if r.info.kind == "linear"]

    @cached_property
    def forward_trend(self) -> Trend | None:
        """How the blocks' std changes with depth."""
        return _trend([(r.info.block, r.activation) for r in self.ends])

    @cached_property
    def backward_trend(self) -> Trend | None:
        """How the gradient's rms changes with depth, in forward order of the blocks."""
        return _trend([(r.info.block, r.gradient) for r in self.ends if r.gradient is not None])


def _trend(figures: Sequence[tuple[int, Statistics]]) -> Trend | None:
    """Least squares through ln rms of the tensors that are finite and not all zero."""
    points = [(block, math.log(s.rms)) for block, s in figures if s.rms and s.finite == s.count]
    if len(points) < 2:
        return None
    n = len(points)
    mean_x = sum(x for x, _ in points) / n
    mean_y = sum(y for _, y in points) / n
    sxx = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sxx
    residual = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    error = math.sqrt(residual / (n - 2) / sxx) if n > 2 else math.inf
    span = slope * (points[-1][0] - points[0][0]) / math.log(10)
    return Trend(slope, error, span, (points[0][0], points[-1][0]))
