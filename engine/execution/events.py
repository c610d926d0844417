"""What happens while a network runs, each as soon as it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from layerscope.engine.execution.network import LayerInfo
from layerscope.engine.execution.records import Record
from layerscope.engine.experiment.specification import Experiment

__all__ = ["Backward", "Forward", "Start"]


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
        return {
            **self.info.to_dict(), **self.record.part(*forward, "gradient", "gradients_alike")
        }  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        parameters = {n: p.part("shape", "value") for n, p in self.record.parameters.items()}
        return {
            **self.info.to_dict(), **self.record.part("activation"), "parameters": parameters,
            **self.record.part("units", "saturation", "units_alike"),
        }  # fmt: skip


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
            **self.record.part("gradients_alike"),
        }  # fmt: skip
