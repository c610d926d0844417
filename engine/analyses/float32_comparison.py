"""A narrow number format against float32: do the gradients still point the same way?"""

from __future__ import annotations

import math

import torch

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.execution.network import LayerInfo, Network
from layerscope.engine.execution.passes import BackwardStep, passes
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import Layer, Linear

__all__ = ["NARROW", "gradient_agreement"]

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


def gradient_agreement(
    experiment: Experiment, *, should_stop: ShouldStop = never
) -> dict[int, float] | None:
    """Cosine of each linear layer's weight gradient with the one computed in float32.

    Both start from the same rounded weights and data. 1: the format changes nothing; 0: what is
    computed has nothing to do with the gradient.

    Returns:
        By layer index; None for float32 and float64, which are not narrow. Layers whose gradient is
        not finite in either, or zero in float32, are left out; one that is zero in the narrow
        format only has 0.

    >>> min(gradient_agreement(Experiment(depth=2, dtype="bfloat16")).values()) > 0.9
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
        if narrow.info.kind == "linear":
            a = narrow.layer.gradients["weight"].double()
            b = wide.layer.gradients["weight"].double()
            scale = b.abs().max()
            if not bool(torch.isfinite(a).all()) or not 0 < float(scale) < math.inf:
                continue
            length = float(a.norm())
            cosine = float((a / (length or 1) * (b / scale)).sum() / (b / scale).norm())
            found[narrow.info.index] = cosine
    return found
