"""What is recorded of each layer: figures only, no tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from engine.layers import ACTIVATIONS
from engine.network import LayerInfo
from engine.passes import BackwardStep, ForwardStep
from engine.statistics import Statistics, Units, distinct_columns, statistics, units

__all__ = ["LayerRecord", "ParameterRecord", "saturation"]

FLAT = 0.01  # φ' below this share of its peak passes no gradient to speak of
SATURATION_ROWS = 32  # samples looked at: 32 rows of 100 units give the share to about 1 %


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
    distinct_units: int | None = None
    """How many of a linear layer's weight columns differ from one another."""
    gradient: Statistics | None = None
    distinct_gradients: int | None = None
    """The same of the weight gradient; asked only where all weight columns are alike."""

    @classmethod
    def forward(cls, step: ForwardStep) -> LayerRecord:
        """The record of a forward step."""
        info, layer = step.info, step.layer
        record = cls(info, statistics(step.output))
        for name, value in layer.parameters.items():
            record.parameters[name] = ParameterRecord(tuple(value.shape), statistics(value))
        activation = info.kind != "linear" and info.kind in ACTIVATIONS
        if info.ends_block or activation:
            record.units = units(step.output)
        if activation:
            record.saturation = saturation(info.kind, step.x)
        elif info.kind == "linear":
            record.distinct_units = distinct_columns(layer.parameters["weight"])
        return record

    def backward(self, step: BackwardStep) -> None:
        """Adds what a backward step brought."""
        self.gradient = statistics(step.gradient)
        for name, value in step.layer.gradients.items():
            self.parameters[name].gradient = statistics(value)
        if self.distinct_units == 1:  # only copies can stay copies
            self.distinct_gradients = distinct_columns(step.layer.gradients["weight"])

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
            "distinct_units": self.distinct_units,
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
            "distinct_gradients": self.distinct_gradients,
        }

    def to_dict(self) -> dict[str, Any]:
        """Both together, as in the contract's ``layers``."""
        forward, backward = self.forward_dict(), self.backward_dict()
        forward["parameters"] = {
            name: {**forward["parameters"][name], **backward["parameters"][name]}
            for name in self.parameters
        }
        return {**forward, **{k: v for k, v in backward.items() if k != "parameters"}}


_peaks: dict[str, float] = {}


def _peak_slope(kind: str) -> float:
    """The largest |φ'| on a fine grid over −10…10; 1 where φ' grows without bound."""
    if kind not in _peaks:
        grid = torch.linspace(-10, 10, 4001, dtype=torch.float64)
        slope = ACTIVATIONS[kind].derivative(grid).abs()
        growing = float(slope[-1]) > 2.0  # squared_relu: no peak to compare with
        _peaks[kind] = 1.0 if growing else float(slope.max())
    return _peaks[kind]


def saturation(kind: str, z: Tensor) -> float | None:
    """Share of the finite entries of ``z`` at which |φ'| is under a hundredth of its peak.

    Args:
        kind: a registered activation.
        z: its input, (batch, n); the first 32 samples are looked at.

    Returns:
        A share from 0 to 1, or None where no entry is finite.

    >>> saturation("relu", torch.tensor([[-1.0, 1.0, 2.0, 3.0]]))
    0.25
    """
    z = z[:SATURATION_ROWS]
    slope = ACTIVATIONS[kind].derivative(z).abs()
    if not math.isfinite(float(z.sum())):  # rarely: then entry by entry
        slope = slope[torch.isfinite(z)]
    if slope.numel() == 0:
        return None
    return int(torch.count_nonzero(slope < FLAT * _peak_slope(kind))) / slope.numel()
