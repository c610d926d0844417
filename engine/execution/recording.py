"""Passes become records: the one loop, for whoever wants each as it comes or all at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from layerscope.engine.basis.cancellation import ShouldStop, never, stop_if
from layerscope.engine.basis.text import dtype_name
from layerscope.engine.execution.causes import Causes
from layerscope.engine.execution.network import LayerInfo, Network
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, Step, passes
from layerscope.engine.execution.provenance import Cause
from layerscope.engine.execution.read_ahead import has_units, read_ahead
from layerscope.engine.execution.records import Facts, Record
from layerscope.engine.execution.saturation import flat_region
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import Activation, Normalization
from layerscope.engine.statistics.ahead import Known

__all__ = ["Backward", "Forward", "Loss", "Start", "facts", "record_all", "recorded"]

_flat_region = cache(flat_region)


@dataclass(frozen=True, slots=True)
class Start:
    """The complete specification and the layers to come."""

    event: ClassVar[str] = "start"
    experiment: Experiment
    layers: list[LayerInfo]

    def to_dict(self) -> dict[str, Any]:
        return {
            "experiment": self.experiment.to_dict(),
            "layers": [info.to_dict() for info in self.layers],
        }


@dataclass(frozen=True, slots=True)
class Forward:
    """A layer's record after the forward pass; final."""

    event: ClassVar[str] = "forward"
    info: LayerInfo
    record: Record

    def complete_dict(self) -> dict[str, Any]:
        """With what the backward pass has added since, as in the contract's ``layers``."""
        forward = ("activation", "parameters", "units", "saturation", "units_alike")
        backward = ("gradient", "gradients_alike", "causes")
        return {**self.info.to_dict(), **self.record.part(*forward, *backward)}  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        parameters = {n: p.part("shape", "value") for n, p in self.record.parameters.items()}
        return {
            **self.info.to_dict(), **self.record.part("activation"), "parameters": parameters,
            **self.record.part("units", "saturation", "units_alike", "causes"),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss, and why it is not finite where the network's output is."""

    value: float
    cause: Cause | None


@dataclass(frozen=True, slots=True)
class Backward:
    """What the backward pass adds to a layer's record; final."""

    event: ClassVar[str] = "backward"
    info: LayerInfo
    record: Record

    def to_dict(self) -> dict[str, Any]:
        parameters = {n: p.part("gradient") for n, p in self.record.parameters.items()}
        return {
            "index": self.info.index, **self.record.part("gradient"), "parameters": parameters,
            **self.record.part("gradients_alike", "causes"),
        }  # fmt: skip


def recorded(
    network: Network, should_stop: ShouldStop = never, seen: Callable[[Step], None] | None = None
) -> Iterator[Forward | Loss | Backward]:
    """Runs ``network``; every layer's record forward, the loss, what each gains backward. ``seen``
    is handed every step with its tensors as it is made, a few layers before its record is."""
    records: list[Record] = []
    read = Known()
    causes = Causes(network.loss, read)
    steps = passes(network, should_stop)
    for step in read_ahead(steps if seen is None else _shown(steps, seen), read):
        stop_if(should_stop)  # several steps are handed on together
        if isinstance(step, ForwardStep):
            record = Record.forward(
                facts(step), step.output, step.layer.parameters,
                x=step.x, by_unit=has_units(step), read=read,
            )  # fmt: skip
            causes.forward(step, record, records[-1] if records else None)
            records.append(record)
            yield Forward(step.info, record)
        elif isinstance(step, BackwardStep):
            record = records[step.info.index]
            record.backward(step.gradient, step.layer.gradients, read)
            causes.backward(step, record)
            yield Backward(step.info, record)
        else:
            yield Loss(float(step.loss), causes.loss(step.loss, step.output, network.target))


def _shown(steps: Iterable[Step], seen: Callable[[Step], None]) -> Iterator[Step]:
    for step in steps:
        seen(step)
        yield step


def record_all(network: Network, should_stop: ShouldStop = never) -> tuple[list[Record], Loss]:
    """Runs ``network`` to its end: its records in forward order, and its loss."""
    records: list[Record] = []
    loss = Loss(math.nan, None)
    for event in recorded(network, should_stop):
        if isinstance(event, Forward):
            records.append(event.record)
        elif isinstance(event, Loss):
            loss = event
    return records, loss


def facts(step: ForwardStep) -> Facts:
    """What a record states of one of our own layers."""
    info, layer = step.info, step.layer
    return Facts(
        index=info.index,
        name=info.name,
        kind=info.kind,
        role=layer.role,
        shape=tuple(step.output.shape),
        dtype=dtype_name(step.output.dtype),
        weight_unit_axis=1,
        adds=info.source,
        centres=isinstance(layer, Normalization) and bool(layer.theory and layer.theory.centred),
        flat=_flat_region(layer.derivative) if isinstance(layer, Activation) else None,
    )
