"""What happens while a network runs, each as soon as it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from layerscope.engine.execution.network import LayerInfo
from layerscope.engine.execution.records import Record
from layerscope.engine.experiment.specification import Experiment

__all__ = ["Backward", "Forward", "Start", "layer_dict"]


@dataclass(frozen=True, slots=True)
class Start:
    """The complete specification and the layers to come."""

    event: ClassVar[str] = "start"
    experiment: Experiment
    layers: list[LayerInfo]

    def to_dict(self) -> dict[str, Any]:
        """As on the wire."""
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

    def to_dict(self) -> dict[str, Any]:
        """As on the wire."""
        return {**self.info.to_dict(), **self.record.forward_dict()}


@dataclass(frozen=True, slots=True)
class Backward:
    """What the backward pass adds to a layer's record; final."""

    event: ClassVar[str] = "backward"
    info: LayerInfo
    record: Record

    def to_dict(self) -> dict[str, Any]:
        """As on the wire."""
        return self.record.backward_dict()


def layer_dict(info: LayerInfo, record: Record) -> dict[str, Any]:
    """Both passes together, as in the contract's ``layers``."""
    forward, backward = Forward(info, record).to_dict(), Backward(info, record).to_dict()
    parameters = {
        name: {**known, **backward["parameters"][name]}
        for name, known in forward["parameters"].items()
    }
    return {**forward, **backward, "parameters": parameters}
