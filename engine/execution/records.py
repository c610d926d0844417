"""What is recorded of one module at one moment: facts and statistics, no tensors. Whoever has a
module's tensors can write a record; it knows neither our layers nor experiments."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import torch
from torch import Tensor

from layerscope.engine.basis.role import Role
from layerscope.engine.basis.serial import Serial
from layerscope.engine.execution.provenance import Ailment, Cause
from layerscope.engine.execution.saturation import FlatRegion
from layerscope.engine.statistics import Statistics, Units, distinct_columns
from layerscope.engine.statistics.ahead import AtOnce, Read

__all__ = ["Facts", "ParameterRecord", "Record", "all_alike"]

_at_once = AtOnce()


class Facts(Serial):
    """What is known of a module before any figure: its place in forward order, qualified name, kind
    (its class, or its entry in a registry), and its output's shape, samples first, and dtype."""

    index: int
    name: str
    kind: str
    role: Role | None
    """What it is to the network; None for what has no role here (a pooling, a reshape)."""
    shape: tuple[int, ...]
    dtype: str
    unit_axis: int | None = 1
    """Of the output: features in (batch, ..., features), channels in (batch, channels, *spatial);
    None where it has none."""
    weight_unit_axis: int = 0
    """The units of a linear map: 0 in PyTorch's (n_out, n_in, *kernel), 1 in the notes' weight."""
    adds: int | None = None
    """What a sum adds: the index of a record, −1 for the network's input."""
    centres: bool = False
    """Whether a norm takes the mean away."""
    flat: FlatRegion | None = None

    @property
    def width(self) -> int | None:
        """Number of units; None where it has none."""
        return None if self.unit_axis is None else self.shape[self.unit_axis]

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype itself."""
        found = getattr(torch, self.dtype, None)
        if not isinstance(found, torch.dtype):
            raise ValueError(f"{self.name}: expected the name of a torch dtype, got {self.dtype!r}")
        return found


class ParameterRecord(Serial):
    """Statistics of a parameter and, after the backward pass, of its gradient."""

    shape: tuple[int, ...]
    value: Statistics
    gradient: Statistics | None = None


class Record(Serial):
    """Everything recorded of one module; the backward pass fills what concerns gradients."""

    facts: Facts
    activation: Statistics
    """Of the module's output."""
    parameters: dict[str, ParameterRecord] = msgspec.field(default_factory=dict)
    units: Units | None = None
    saturation: float | None = None
    """Share of the entries of an activation's input at which it is flat."""
    units_alike: bool | None = None
    """Whether all units of a linear map have one and the same weight."""
    gradient: Statistics | None = None
    """Of the loss by the module's output."""
    gradients_alike: bool | None = None
    """The same of the weight gradient; asked only where all units are alike."""
    gradient_cosine: float | None = None
    """Of a linear map's weight gradient with float32's; filled by who computed both."""
    causes: list[Cause] = msgspec.field(default_factory=list)
    """Why NaN, infinities or nothing but zeros came up in the module's tensors, where they did."""
    stays_alike: bool | None = None
    """Whether all units of a linear map still are copies, in weight and gradient, after some real
    steps of training; None where nobody took them."""
    gradient_comes: bool | None = None
    """Whether a linear map that no gradient reached gets one after these steps."""
    without_gradient: list[str] | None = None
    """Those of its parameters whose gradient was nothing but zeros before and in all of these
    steps; None where nobody took them."""

    @classmethod
    def forward(
        cls,
        facts: Facts,
        output: Tensor,
        parameters: Mapping[str, Tensor],
        *,
        x: Tensor | None = None,
        by_unit: bool = True,
        read: Read = _at_once,
    ) -> Record:
        """The record of a module whose output, of any rank, samples first, has been computed.

        Without ``x``, its input, an activation's saturation stays unknown. ``by_unit``: looks at
        the output's units too, which costs another pass over it. ``read``: who may know what the
        tensors' statistics are.
        """
        own = {
            name: ParameterRecord(tuple(value.shape), read.statistics(value))
            for name, value in parameters.items()
        }
        record = cls(facts, read.statistics(output), own)
        if by_unit and facts.unit_axis is not None:
            record.units = read.units(output, facts.unit_axis)
        if facts.flat is not None and x is not None:
            record.saturation = facts.flat.share(x)
        weight = record.weight_name
        if weight is not None:
            record.units_alike = all_alike(parameters[weight], facts.weight_unit_axis)
        return record

    def backward(
        self,
        gradient: Tensor | None,
        parameters: Mapping[str, Tensor],
        read: Read = _at_once,
    ) -> None:
        """Adds the gradients by the module's output and by its parameters, as far as they came;
        ``read`` as in `forward`."""
        self.gradient = None if gradient is None else read.statistics(gradient)
        for name, value in parameters.items():
            self.parameters[name].gradient = read.statistics(value)
        weight = parameters.get(self.weight_name or "")
        if self.units_alike and weight is not None:  # only copies can stay copies
            self.gradients_alike = all_alike(weight, self.facts.weight_unit_axis)

    def cause(self, tensor: str, ailment: Ailment) -> Cause | None:
        """Why one of the module's tensors has an ailment; None where it came from another."""
        found = (c for c in self.causes if c.tensor == tensor and c.ailment == ailment)
        return next(found, None)

    @property
    def weight_name(self) -> str | None:
        """The parameter with which a linear map multiplies."""
        if self.facts.role != "linear_map":
            return None
        return next((name for name, p in self.parameters.items() if len(p.shape) > 1), None)


def all_alike(weight: Tensor, unit_axis: int) -> bool:
    """Whether the weights of all units are one, up to rounding."""
    weight = weight.detach()
    if weight.dtype == torch.float32 and weight.numel() and weight.shape[unit_axis] > 1:
        of_two = weight.as_strided((2,), (weight.stride(unit_axis),), weight.storage_offset())
        a, b = of_two.tolist()
        if math.isfinite(a) and math.isfinite(b) and abs(a - b) > 1e-3 * abs(a):
            return False  # nearly always, and much quicker than looking at all of it
    columns = weight.movedim(unit_axis, -1).flatten(0, -2)  # (n_in, n_out)
    return distinct_columns(columns) == 1
