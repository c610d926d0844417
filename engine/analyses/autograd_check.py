"""The live check: hand-written gradients against PyTorch's autograd on the same network."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from layerscope.engine.analyses.base import analysis
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.execution.cost import Cost, cost
from layerscope.engine.execution.network import LayerInfo, Network
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, LossStep, passes
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import Layer

__all__ = ["AutogradComparison", "compare_with_autograd"]

NOISE = 4.0  # times the rounding error of the largest term: what a sum may be off by


@dataclass(frozen=True, slots=True)
class AutogradComparison:
    """How far our gradients are from autograd's.

    ``autograd_max_relative_error`` is None if nothing was comparable, with a ``reason``; ``worst``
    names the tensor it belongs to. ``compared`` and ``skipped`` count tensors, ``kinks_crossed``
    the entries that rounding put on the other side of a kink than float64 does; autograd is asked
    about our side there.
    """

    autograd_max_relative_error: float | None
    worst: str | None
    compared: int
    skipped: int
    kinks_crossed: int
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class _Reference:
    """The same network in float64, with autograd's graph through it."""

    x: Tensor
    outputs: list[Tensor]
    parameters: list[dict[str, Tensor]]
    crossed: int = 0
    """Entries that rounding put on the other side of a kink than float64 does."""

    def forward(self, info: LayerInfo, layer: Layer, our_x: Tensor) -> None:
        x = self.outputs[-1] if self.outputs else self.x
        mine = {name: p.double().clone().requires_grad_() for name, p in layer.parameters.items()}
        skip = self.x if info.source in (None, -1) else self.outputs[info.source]
        y = layer.torch_forward(self._on_our_side(x, our_x.double(), layer.kinks), mine, skip)
        if not y.requires_grad:
            y.requires_grad_()
        y.retain_grad()
        self.outputs.append(y)
        self.parameters.append(mine)

    def _on_our_side(self, x: Tensor, ours: Tensor, kinks: tuple[float, ...]) -> Tensor:
        """``x``, with our value where a kink lies between the two: φ' there is a matter of side."""
        for kink in kinks:
            other = ((x > kink) != (ours > kink)) | ((x < kink) != (ours < kink))
            crossed = int(torch.count_nonzero(other))
            if crossed:
                self.crossed += crossed
                x = x + torch.where(other, ours - x, 0.0).detach()  # the gradient still flows to x
        return x


def _cost(experiment: Experiment) -> Cost:
    own, reference = cost(experiment), cost(experiment.model_copy(update={"dtype": "float64"}))
    # Both networks stand side by side, and autograd keeps an output and a gradient of each layer.
    return Cost(own.flops + reference.flops, own.bytes + 2 * reference.bytes)


@analysis(
    "autograd_check",
    title="Gradients against autograd",
    formula="max |ours − autograd's| / max |autograd's|, over all gradients",
    source="PyTorch's autograd in float64, on the same weights and data",
    help="Whether the hand-written gradients are right: every one against autograd's.",
    cost=_cost,
)
def compare_with_autograd(
    experiment: Experiment, *, should_stop: ShouldStop = never
) -> AutogradComparison:
    """The largest max |ours − autograd's| / max |autograd's| of every gradient, in float64.

    Skipped and counted are tensors that are not finite in the experiment's own dtype, that are too
    small for it to hold, or whose terms cancel to zero, so that rounding is all there is to compare
    (a bias before batch norm, say).

    >>> compare_with_autograd(Experiment(depth=2, dtype="float64")).worst is not None
    True
    """
    network = Network(experiment)
    reference = _Reference(network.x.double(), [], [])
    comparable = _Comparable(experiment.torch_dtype)
    worst: tuple[float, str | None] = (-1.0, None)
    compared = skipped = 0
    for step in passes(network, should_stop):
        if isinstance(step, ForwardStep):
            reference.forward(step.info, step.layer, step.x)
        elif isinstance(step, LossStep):
            target = network.target if network.loss.classifies else network.target.double()
            loss = network.loss.reference(reference.outputs[-1], target)
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            for name, ours, theirs, noise in _pairs(step, reference, comparable):
                error = comparable.relative_error(ours, theirs, noise)
                if error is None:
                    skipped += 1
                    continue
                compared += 1
                worst = max(worst, (error, name))
    reason = f"no gradient is finite and within {experiment.dtype}'s normal range"
    found, told = (worst[0], None) if compared else (None, reason)
    return AutogradComparison(found, worst[1], compared, skipped, reference.crossed, told)


def _pairs(
    step: BackwardStep, reference: _Reference, comparable: _Comparable
) -> list[tuple[str, Tensor, Tensor, float]]:
    """Name, our gradient, autograd's, and how far rounding may have put either off."""
    index, name = step.info.index, step.info.name
    theirs = _grad(reference.outputs[index])
    pairs = [(name, step.gradient, theirs, comparable.noise(theirs))]
    column = float(theirs.abs().sum(0).amax()) if theirs.numel() else 0.0
    for key, value in step.layer.gradients.items():
        expected = _grad(reference.parameters[index][key])
        x = reference.outputs[index - 1] if index else reference.x
        largest = float(x.detach().abs().amax()) if key == "weight" and x.numel() else 1.0
        noise = comparable.noise(expected, column * largest)
        pairs.append((f"{name}.{key}", value, expected, noise))
    comparable.terms = step.layer.largest_term(theirs)
    return pairs


def _grad(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


class _Comparable:
    """Follows, going back, how much of a gradient is rounding; says what can be compared.

    A sum is off by about the rounding error of its largest terms. Where the terms cancel, that is
    all that is left of it, and of everything computed from it.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._smallest = torch.finfo(dtype).tiny / torch.finfo(dtype).eps
        self._rounding = min(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps) * NOISE
        self._so_far = 0.0
        self.terms = 0.0
        """How large the terms are of which the next gradient going back is the sum."""

    def noise(self, theirs: Tensor, terms: float | None = None) -> float:
        """Rounding relative to ``theirs``, the sum of terms as large as ``terms``."""
        scale = float(theirs.abs().max()) if theirs.numel() else 0.0
        if terms is None:
            terms = self.terms
            if scale > 0:  # independent errors add up as squares do
                self._so_far = math.hypot(self._so_far, self._rounding * terms / scale)
            return self._so_far
        return (self._so_far + self._rounding) * terms / scale if scale > 0 else self._so_far

    def relative_error(self, ours: Tensor, theirs: Tensor, noise: float) -> float | None:
        """None where the tensors cannot be compared in our dtype."""
        if theirs.numel() == 0:
            return 0.0
        scale = float(theirs.abs().max())
        difference = float((ours.double() - theirs).abs().max())
        if difference == 0.0:
            return 0.0
        if not difference < float("inf") or scale < self._smallest or noise > 1:
            return None
        return difference / scale
