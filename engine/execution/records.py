"""What is recorded of each layer: figures only, no tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from layerscope.engine.execution.network import LayerInfo
from layerscope.engine.execution.passes import BackwardStep, ForwardStep
from layerscope.engine.layers import ACTIVATIONS
from layerscope.engine.statistics import Statistics, Units, distinct_columns, statistics, units

__all__ = ["LayerRecord", "ParameterRecord", "saturation"]

GROWING = 2.0  # a slope beyond this at z = 10 has no peak: squared_relu's
FLAT = 0.01  # φ' below this share of its peak passes no gradient to speak of
SATURATION_ROWS = 16  # samples looked at: 16 rows of 100 units give the share to about 1 %
NARROW = (torch.float16, torch.bfloat16)


@dataclass(slots=True)
class ParameterRecord:
    """Statistics of a parameter and, after the backward pass, of its gradient."""

    shape: tuple[int, ...]
    value: Statistics
    gradient: Statistics | None = None


@dataclass(slots=True)
class LayerRecord:
    """Everything recorded of one layer; ``gradient`` is filled by the backward pass."""

    info: LayerInfo
    activation: Statistics
    parameters: dict[str, ParameterRecord] = field(default_factory=dict)
    units: Units | None = None
    saturation: float | None = None
    """Share of entries where φ' is below a hundredth of its peak; activations only."""
    units_alike: bool | None = None
    """Whether all of a linear layer's weight columns are copies of one another."""
    gradient: Statistics | None = None
    gradients_alike: bool | None = None
    """The same of the weight gradient; asked only where all weight columns are alike."""

    @classmethod
    def forward(cls, step: ForwardStep) -> LayerRecord:
        """The record of a forward step."""
        info, layer = step.info, step.layer
        record = cls(info, statistics(step.output))
        for name, value in layer.parameters.items():
            record.parameters[name] = ParameterRecord(value.shape, statistics(value))
        activation = info.kind != "linear" and info.kind in ACTIVATIONS
        if info.ends_block or activation:
            record.units = units(step.output)
        if activation:
            record.saturation = saturation(info.kind, step.x)
        elif info.kind == "linear":
            record.units_alike = _all_alike(layer.parameters["weight"])
        return record

    def backward(self, step: BackwardStep) -> None:
        """Adds what a backward step brought."""
        self.gradient = statistics(step.gradient)
        for name, value in step.layer.gradients.items():
            self.parameters[name].gradient = statistics(value)
        if self.units_alike:  # only copies can stay copies
            self.gradients_alike = _all_alike(step.layer.gradients["weight"])

    def forward_dict(self) -> dict[str, Any]:
        """What is known after the forward pass, as JSON."""
        return {
            **self.info.to_dict(),
            "activation": self.activation.to_dict(),
            "parameters": {
                name: {"shape": list(p.shape), "value": p.value.to_dict()}
                for name, p in self.parameters.items()
            },
            "units": None if self.units is None else self.units.to_dict(),
            "saturation": self.saturation,
            "units_alike": self.units_alike,
        }

    def backward_dict(self) -> dict[str, Any]:
        """What the backward pass adds, as JSON."""
        return {
            "index": self.info.index,
            "gradient": self.gradient and self.gradient.to_dict(),
            "parameters": {
                name: {"gradient": p.gradient and p.gradient.to_dict()}
                for name, p in self.parameters.items()
            },
            "gradients_alike": self.gradients_alike,
        }

    def to_dict(self) -> dict[str, Any]:
        """Both together, as in the contract's ``layers``."""
        forward, backward = self.forward_dict(), self.backward_dict()
        forward["parameters"] = {
            name: {**forward["parameters"][name], **backward["parameters"][name]}
            for name in self.parameters
        }
        return {**forward, **{k: v for k, v in backward.items() if k != "parameters"}}


def _all_alike(weight: Tensor) -> bool:
    """Whether all columns of a weight (n_in, n_out) are one, up to rounding."""
    if weight.dtype == torch.float32 and weight.shape[0] and weight.shape[1] > 1:
        row = weight.numpy()[0]
        if np.isfinite(row[:2]).all() and abs(row[0] - row[1]) > 1e-3 * abs(row[0]):
            return False  # nearly always, and much quicker than looking at all of it
    return distinct_columns(weight) == 1


@lru_cache
def _flat_intervals(kind: str) -> tuple[tuple[float, float], ...]:
    """The intervals of z in which |φ'| is under a hundredth of its peak, on a fine grid.

    The peak is that over −10…10, or 1 where φ' grows without bound. What is flat at an end of the
    grid is taken to be flat beyond it.
    """
    grid = torch.arange(-4000, 4001, dtype=torch.float64) / 400  # holds every kink exactly
    slope = ACTIVATIONS[kind].derivative(grid).abs()
    peak = 1.0 if float(slope[-1]) > GROWING else float(slope.max())
    flat = slope < FLAT * peak
    edges = torch.nonzero(flat[1:] != flat[:-1])[:, 0].tolist()
    bounds = [0, *(e + 1 for e in edges), len(grid)]
    found = []
    for start, end in pairwise(bounds):
        if flat[start]:
            low = -math.inf if start == 0 else float(grid[start])
            high = math.inf if end == len(grid) else float(grid[end - 1])
            found.append((low, high))
    return tuple(found)


def saturation(kind: str, z: Tensor) -> float | None:
    """Share of the entries of ``z`` at which |φ'| is under a hundredth of its peak.

    Args:
        kind: a registered activation.
        z: its input, (batch, n); the first 16 samples are looked at.

    Returns:
        A share from 0 to 1 of the entries that are not NaN, or None where all are.

    >>> saturation("relu", torch.tensor([[-1.0, 1.0, 2.0, 3.0]]))
    0.25
    """
    wide = z.float() if z.dtype in NARROW else z
    values = wide.numpy()[:SATURATION_ROWS]  # NumPy counts a few entries quicker than torch
    if values.size and math.isnan(values.min()):  # rare, and NaN is the least of all
        values = values[~np.isnan(values)]
    if not values.size:
        return None
    flat = 0
    for low, high in _flat_intervals(kind):
        inside = values <= high
        if low > -math.inf:
            inside &= values >= low
        flat += int(np.count_nonzero(inside))
    return flat / values.size
