"""An analysis that has no page of its own; imported, it is registered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layerscope.engine.analyses import analysis
from layerscope.engine.execution.cost import cost
from layerscope.engine.experiment.specification import Experiment


@dataclass
class Depth:
    depth: int
    shares: list[float]

    def to_dict(self) -> dict[str, Any]:
        return {"depth": self.depth, "shares": self.shares}


@analysis("depth_alone", title="Depth alone", formula="d", source="", help="Its depth.", cost=cost)
def depth_alone(experiment: Experiment, *, should_stop: Any = None) -> Depth:
    return Depth(experiment.depth, [0.5, 0.25])
