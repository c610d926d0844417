"""A narrow number format against float32: do the gradients still point the same way?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from layerscope.engine.analyses.base import analysis
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.execution.cost import Cost, cost
from layerscope.engine.execution.network import LayerInfo, Network, layout
from layerscope.engine.execution.passes import BackwardStep, passes
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import Layer, Linear

__all__ = ["NARROW", "Float32Comparison", "compare_with_float32", "gradient_cosines"]

NARROW = (torch.float16, torch.bfloat16)


class _Widened(Network):
    """The network of a narrow format, its rounded weights and data computed with in float32."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment)
        self._narrow = experiment.torch_dtype
        self.x = self.x.float()
        if self.target.is_floating_point():
            self.target = self.target.float()

    def build(self, info: LayerInfo, x: torch.Tensor) -> Layer:
        layer = super().build(info, x)
        if isinstance(layer, Linear):
            layer.parameters = {k: v.to(self._narrow).float() for k, v in layer.parameters.items()}
        return layer


def gradient_cosines(
    experiment: Experiment, *, should_stop: ShouldStop = never
) -> dict[int, float] | None:
    """Cosine of each linear layer's weight gradient with the one computed in float32.

    Both start from the same rounded weights and data. 1: the format changes nothing; 0: what is
    computed has nothing to do with the gradient. By layer index; None for float32 and float64,
    which are not narrow. Layers whose gradient is not finite in either, or zero in float32, are
    left out; one that is zero in the narrow format only has 0.

    >>> min(gradient_cosines(Experiment(depth=2, dtype="bfloat16")).values()) > 0.9
    True
    """
    if experiment.torch_dtype not in NARROW:
        return None
    found: dict[int, float] = {}
    both = zip(
        passes(Network(experiment), should_stop), passes(_Widened(experiment), should_stop),
        strict=True,
    )  # fmt: skip
    for narrow, wide in both:
        if not (isinstance(narrow, BackwardStep) and isinstance(wide, BackwardStep)):
            continue
        if narrow.layer.role == "linear_map":
            a = narrow.layer.gradients["weight"].double()
            b = wide.layer.gradients["weight"].double()
            scale = b.abs().max()
            if not bool(torch.isfinite(a).all()) or not 0 < float(scale) < math.inf:
                continue
            a.div_(float(a.norm()) or 1)  # in place: both are copies, and may be large
            b.div_(scale)
            length = b.norm()
            found[narrow.info.index] = float(a.mul_(b).sum() / length)
    return found


@dataclass(frozen=True, slots=True)
class Float32Comparison:
    """`gradient_cosines` by the layers' names; None, with a ``reason``, for a wide format."""

    dtype: str
    cosines: dict[str, float] | None
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        least = min(self.cosines.values(), default=None) if self.cosines is not None else None
        return {
            "dtype": self.dtype, "cosines": self.cosines, "least": least, "reason": self.reason,
        }  # fmt: skip


def _cost(experiment: Experiment) -> Cost:
    if experiment.torch_dtype not in NARROW:
        return Cost(0, 0)
    both = cost(experiment).beside(cost(experiment.model_copy(update={"dtype": "float32"})))
    weights = max(i.n_in * i.shape[1] for i in layout(experiment) if i.role == "linear_map")
    return both.beside(Cost(0, 2 * 8 * weights))  # two gradients are compared in float64


@analysis(
    "float32_comparison",
    title="Gradients against float32",
    formula="cos(g, g₃₂) = g·g₃₂ / (|g| |g₃₂|), for each linear layer's weight gradient g",
    source="The same rounded weights and data, computed with in float32",
    help="Whether a narrow number format leaves the gradients pointing where they should.",
    cost=_cost,
)
def compare_with_float32(
    experiment: Experiment, *, should_stop: ShouldStop = never
) -> Float32Comparison:
    """The gradients of a narrow format held against those of float32.

    >>> compare_with_float32(Experiment(depth=1)).reason
    'float32 is no narrow format: expected float16 or bfloat16'
    """
    cosines = gradient_cosines(experiment, should_stop=should_stop)
    if cosines is None:
        reason = f"{experiment.dtype} is no narrow format: expected float16 or bfloat16"
        return Float32Comparison(experiment.dtype, None, reason)
    names = {info.index: info.name for info in layout(experiment)}
    by_name = {names[index]: cosine for index, cosine in sorted(cosines.items())}
    return Float32Comparison(experiment.dtype, by_name, None)
