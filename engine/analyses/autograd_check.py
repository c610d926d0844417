"""The live check: hand-written gradients against PyTorch's autograd on the same network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from layerscope.engine.analyses.base import analysis
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.basis.narrow import widened
from layerscope.engine.execution.cost import Cost, cost
from layerscope.engine.execution.footprint import Shape, kept_by_autograd
from layerscope.engine.execution.memory import WALKED, Held, allocated, moments, repeated
from layerscope.engine.execution.network import LayerInfo, Network
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, LossStep, passes
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import Layer
from layerscope.engine.layers.losses import Loss

__all__ = ["AutogradComparison", "compare_with_autograd"]

WIDE = torch.float64.itemsize
NOISE = 4.0  # times the rounding error of the largest term: what a sum may be off by


@dataclass(frozen=True, slots=True)
class AutogradComparison:
    """How far our gradients are from autograd's.

    ``autograd_max_relative_error`` is None if nothing was comparable, with a ``reason``; ``worst``
    names the tensor it belongs to. ``compared`` and ``skipped`` count tensors, ``kinks_crossed``
    the entries that rounding put on the other side of a kink than float64 does; autograd is asked
    about our side there. ``torch_max_relative_error`` is how far autograd's own gradients in the
    experiment's dtype are from those in float64, by the same measure; None in float64.
    """

    autograd_max_relative_error: float | None
    worst: str | None
    compared: int
    skipped: int
    kinks_crossed: int
    reason: str | None
    torch_max_relative_error: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class _Kept:
    """A block on its way forward: its input in float64, and its layers, each with what is added to
    its input where that lies on the other side of a kink."""

    x: Tensor
    layers: list[tuple[LayerInfo, Layer, Tensor | None]] = field(default_factory=list)


class _Compared(NamedTuple):
    """A layer's input, and autograd's gradients by its output and by its parameters."""

    x: Tensor
    gradient: Tensor
    parameters: dict[str, Tensor]


class _Reference:
    """The same network in the dtype of ``x``, and autograd's gradients of it, block by block.

    Kept of the way forward is the input of each block alone; a block's graph is built anew when the
    way back reaches it: the same numbers as by one graph of the whole, in a fraction of its memory.
    """

    def __init__(self, x: Tensor) -> None:
        self.crossed = 0
        """Entries that rounding put on the other side of a kink than float64 does."""
        self._blocks: list[_Kept] = []
        self._output = x
        self._gradient = x
        """Of the loss by the output of the last block that is left, once there is a loss."""
        self._layers: dict[int, _Compared] = {}
        self._complete = True

    def forward(self, info: LayerInfo, layer: Layer, our_x: Tensor) -> None:
        """The next layer, with the weights of ``layer``, on our side of every kink."""
        x = self._output
        if self._complete:
            self._blocks.append(_Kept(x))
        self._complete = info.ends_block
        block = self._blocks[-1]
        shift = self._to_our_side(x, our_x, layer.kinks)
        block.layers.append((info, layer, shift))
        with torch.no_grad():
            self._output = layer.torch_forward(_shifted(x, shift), _copied(layer, x.dtype), block.x)

    def loss(self, loss: Loss, target: Tensor, ours: Tensor) -> None:
        """Where the way back begins, on the side of the loss' kinks on which our output is."""
        output = self._output.detach()
        if not loss.classifies:
            target = target.to(output.dtype)
            if loss.kinks:
                ours = ours.to(output.dtype) - target
                output = _shifted(output, self._to_our_side(output - target, ours, loss.kinks))
        output.requires_grad_()
        factor = loss.factor(target) * loss.scale
        given = output
        if loss.scale != 1:  # as ours, which multiplies before it rounds
            given, target = widened(output), widened(target)
        (self._gradient,) = torch.autograd.grad(loss.reference(given, target) * factor, output)

    def of(self, index: int) -> _Compared:
        """What autograd says of the layer at ``index``; asked for from the last to the first."""
        if not self._layers:
            self._layers = self._back(self._blocks.pop())
        return self._layers.pop(index)

    def _back(self, block: _Kept) -> dict[int, _Compared]:
        x = enters = block.x.detach().requires_grad_()
        way: list[tuple[int, Tensor, Tensor, dict[str, Tensor]]] = []
        for info, layer, shift in block.layers:
            copies = _copied(layer, x.dtype)
            mine = {name: p.requires_grad_() for name, p in copies.items()}
            y = layer.torch_forward(_shifted(x, shift), mine, enters)
            if not y.requires_grad:
                y.requires_grad_()
            y.retain_grad()
            way.append((info.index, x, y, mine))
            x = y
        torch.autograd.backward(x, self._gradient)
        self._gradient = _grad(enters)
        return {
            index: _Compared(x.detach(), _grad(y), {name: _grad(p) for name, p in mine.items()})
            for index, x, y, mine in way
        }

    def _to_our_side(self, x: Tensor, our_x: Tensor, kinks: tuple[float, ...]) -> Tensor | None:
        """What brings ``x`` to our value where a kink lies between the two: φ' there is a matter of
        side. None where none does."""
        shift = None
        ours = our_x.to(x.dtype) if kinks else our_x
        for kink in kinks:
            other = ((x > kink) != (ours > kink)) | ((x < kink) != (ours < kink))
            crossed = int(torch.count_nonzero(other))
            if crossed:
                self.crossed += crossed
                here = torch.where(other, ours - x, 0.0)
                shift = here if shift is None else shift + here
                x = x + here
        return shift


def _copied(layer: Layer, dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: p.to(dtype, copy=True) for name, p in layer.parameters.items()}


def _shifted(x: Tensor, shift: Tensor | None) -> Tensor:
    return x if shift is None else x + shift  # the gradient still flows to x


def _cost(experiment: Experiment) -> Cost:
    """Our own passes, and beside them forward twice and backward once, in float64 and in ours."""
    wide = cost(experiment.model_copy(update={"dtype": "float64"})).flops
    own = cost(experiment).flops
    flops = own + (wide + own) * 4 // 3
    return Cost(flops, allocated(max(_moments(experiment)), experiment, torch.float64))


def _moments(experiment: Experiment) -> Iterator[int]:
    """Bytes held with the reference beside ours, layer by layer forward, block by block back."""
    inputs = 0  # of the blocks so far, in float64 and in our dtype
    in_block: list[Held] = []
    both = WIDE + experiment.torch_dtype.itemsize
    more = repeated(experiment) * experiment.batch * experiment.width * both
    for moment in moments(experiment):
        yield moment.backward + inputs
        info = moment.info
        x = experiment.batch * info.n_in * both
        if not in_block:
            inputs += x
            if info.block > WALKED:
                inputs, more = inputs + more, 0
        yield moment.forward + inputs + _forward(info) * both // WIDE
        in_block.append(moment)
        if info.ends_block:
            held = sum(_backward(m.info) for m in in_block)
            yield moment.made + inputs + x + held * both // WIDE
            in_block = []


def _forward(info: LayerInfo) -> int:
    """Of one layer: its input, ours, what tells on which side of a kink they are; its output."""
    x, y, weights = _entries(info)
    sides = (WIDE + 3) * x if info.layer.kinks else 0
    return WIDE * x + max(sides, WIDE * (weights + y))


def _backward(info: LayerInfo) -> int:
    """Of one layer: its output and parameters, the gradients by both, and what is compared."""
    _, y, weights = _entries(info)
    kept = kept_by_autograd(info.layer).of(Shape(info.shape[0], info.n_in, info.shape[1]))
    return WIDE * 2 * (y + weights) + kept + WIDE * max(weights, y)


def _entries(info: LayerInfo) -> tuple[int, int, int]:
    batch, n_out = info.shape
    weights = info.n_in * n_out if info.role == "linear_map" else 0
    return batch * info.n_in, batch * n_out, weights


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
    reference = _Reference(network.x.double())
    native = None if network.x.dtype == torch.float64 else _Reference(network.x)
    comparable = _Comparable(experiment.torch_dtype)
    worst: tuple[float, str | None] = (-1.0, None)
    by_torch: float | None = None
    compared = skipped = 0
    for step in passes(network, should_stop):
        if isinstance(step, ForwardStep):
            for each in filter(None, (reference, native)):
                each.forward(step.info, step.layer, step.x)
        elif isinstance(step, LossStep):
            for each in filter(None, (reference, native)):
                each.loss(network.loss, network.target, step.output)
        else:
            own = native.of(step.info.index) if native else None
            for name, ours, theirs, noise in _pairs(step, reference, comparable):
                if own is not None:
                    key = name.removeprefix(step.info.name).removeprefix(".")
                    torchs = own.parameters[key] if key else own.gradient
                    known = comparable.relative_error(torchs, theirs, noise)
                    by_torch = by_torch if known is None else max(known, by_torch or 0.0)
                error = comparable.relative_error(ours, theirs, noise)
                if error is None:
                    skipped += 1
                    continue
                compared += 1
                worst = max(worst, (error, name))
    reason = f"no gradient is finite and within {experiment.dtype}'s normal range"
    found, told = (worst[0], None) if compared else (None, reason)
    return AutogradComparison(found, worst[1], compared, skipped, reference.crossed, told, by_torch)


def _pairs(
    step: BackwardStep, reference: _Reference, comparable: _Comparable
) -> list[tuple[str, Tensor, Tensor, float]]:
    """Name, our gradient, autograd's, and how far rounding may have put either off."""
    name = step.info.name
    x, theirs, parameters = reference.of(step.info.index)
    pairs = [(name, step.gradient, theirs, comparable.noise(theirs))]
    column = float(theirs.abs().sum(0).amax()) if theirs.numel() else 0.0
    for key, value in step.layer.gradients.items():
        expected = parameters[key]
        largest = float(x.abs().amax()) if key == "weight" and x.numel() else 1.0
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
        difference = float((ours.double() - theirs).abs_().max())
        if difference == 0.0:
            return 0.0
        if not difference < float("inf") or scale < self._smallest or noise > 1:
            return None
        return difference / scale
