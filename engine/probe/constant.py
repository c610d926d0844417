"""What answers that look at nothing would get: the best constant one, and one of no signal.

By PyTorch's losses, with their settings, whether they are called as a function or as a module: of a
loss of the user's own nobody can tell what a constant answer would be. The user's loss is never
called: its hooks would see it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LOSSES", "Known", "constant_loss", "entry_by_entry", "in_numbers", "known_loss"]

LEAST_CHANCE = 1e-6  # of a class that is not in the batch: its logarithm is wanted all the same
HALVINGS = 24
"""Of the interval that holds a robust mean: what is left of it squared is what the loss is off."""

Answers = Callable[..., tuple[Tensor, Tensor]]
"""Of an output, a target and the loss's settings by name: the best constant output, and that of a
network of no signal. Errors: any, where that is not known."""


def in_numbers(
    output: Tensor, target: Tensor, *, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The targets' mean, which is best for squares; zeros."""
    t = target.to(output.dtype)
    if weight is None:
        mean = t.mean(0, keepdim=True)
    else:
        w = weight.to(output.dtype).expand_as(t)
        mean = (w * t).sum(0, keepdim=True) / w.sum(0, keepdim=True)
    return mean.expand_as(output), torch.zeros_like(output)


def _by_median(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    median = target.to(output.dtype).median(0, keepdim=True).values
    return median.expand_as(output), torch.zeros_like(output)


def _robust(width: float, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The number from which the targets' distances, each cut off at ``width``, add up to zero:
    between the lowest and the highest, found by halving."""
    if width == 0:
        return _by_median(output, target)
    t = target.to(output.dtype)
    low, high = t.amin(0, keepdim=True), t.amax(0, keepdim=True)
    for _ in range(HALVINGS):
        middle = low + (high - low) / 2
        above = (t - middle).clamp(-width, width).sum(0, keepdim=True) > 0
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return (low + (high - low) / 2).expand_as(output), torch.zeros_like(output)


def _smooth(output: Tensor, target: Tensor, *, beta: float = 1.0) -> tuple[Tensor, Tensor]:
    return _robust(beta, output, target)


def _huber(output: Tensor, target: Tensor, *, delta: float = 1.0) -> tuple[Tensor, Tensor]:
    return _robust(delta, output, target)


def _logits(
    output: Tensor, target: Tensor, *, weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    chance = _chance(output, target, weight, pos_weight)
    return torch.logit(chance).expand_as(output), torch.zeros_like(output)


def _chances(
    output: Tensor, target: Tensor, *, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    chance = _chance(output, target, weight, None)
    return chance.expand_as(output), torch.full_like(output, 0.5)


def _chance(
    output: Tensor, target: Tensor, weight: Tensor | None, positive: Tensor | None
) -> Tensor:
    """The weighted share of ones, entry by entry."""
    yes = target.to(output.dtype)
    no = 1 - yes
    if weight is not None:
        yes, no = yes * weight, no * weight
    if positive is not None:
        yes = yes * positive
    yes, no = yes.sum(0, keepdim=True), no.sum(0, keepdim=True)
    return (yes / (yes + no)).clamp(LEAST_CHANCE, 1 - LEAST_CHANCE)


def _in_classes(
    output: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The logarithms of the classes' shares, as the loss weighs them; every class alike."""
    axis = 0 if output.dim() == 1 else 1
    number = output.shape[axis]
    shape = [number if i == axis else 1 for i in range(output.dim())]
    if target.is_floating_point():
        counts = target.movedim(axis, 0).reshape(number, -1).sum(1).to(output.dtype)
    else:
        counted = target[target != ignore_index].flatten()
        counts = torch.bincount(counted, minlength=number).to(output.dtype)
    counts = (1 - label_smoothing) * counts + label_smoothing * counts.sum() / number
    if weight is not None:
        counts = counts * weight
    chances = (counts / counts.sum()).clamp_min(LEAST_CHANCE)
    constant = (chances / chances.sum()).log().view(shape).expand_as(output)
    return constant, torch.full_like(output, -math.log(number))


@dataclass(frozen=True)
class _Loss:
    """A loss of PyTorch's: its function, its module, and what is known of it."""

    function: Callable[..., Any]
    module: type[nn.Module]
    answers: Answers
    in_classes: bool = False
    """Whether the target may hold classes; else it has the output's shape."""
    settings: tuple[str, ...] = field(init=False)
    """What ``answers`` takes."""

    def __post_init__(self) -> None:
        taken = inspect.signature(self.answers).parameters.values()
        names = tuple(p.name for p in taken if p.kind is p.KEYWORD_ONLY)
        object.__setattr__(self, "settings", names)


LOSSES: Sequence[_Loss] = (
    _Loss(F.mse_loss, nn.MSELoss, in_numbers),
    _Loss(F.l1_loss, nn.L1Loss, _by_median),
    _Loss(F.smooth_l1_loss, nn.SmoothL1Loss, _smooth),
    _Loss(F.huber_loss, nn.HuberLoss, _huber),
    _Loss(F.binary_cross_entropy, nn.BCELoss, _chances),
    _Loss(F.binary_cross_entropy_with_logits, nn.BCEWithLogitsLoss, _logits),
    _Loss(F.cross_entropy, nn.CrossEntropyLoss, _in_classes, in_classes=True),
    _Loss(F.nll_loss, nn.NLLLoss, _in_classes, in_classes=True),
)
_BY_FUNCTION: Mapping[Any, _Loss] = {loss.function: loss for loss in LOSSES}
_BY_MODULE: Mapping[type[nn.Module], _Loss] = {loss.module: loss for loss in LOSSES}


def entry_by_entry(function: Any) -> bool:
    """Whether it is a loss of PyTorch's that compares an output with a target of its shape.

    >>> entry_by_entry(F.mse_loss), entry_by_entry(F.cross_entropy)
    (True, False)
    """
    known = _BY_FUNCTION.get(function)
    return known is not None and not known.in_classes


@dataclass(frozen=True)
class Known:
    """A loss of PyTorch's with its settings, to be asked as often as one likes."""

    loss: _Loss
    settings: Mapping[str, Any]
    """By their names, the reduction too."""

    @property
    def in_classes(self) -> bool:
        """Whether the target may hold classes; else it has the output's shape."""
        return self.loss.in_classes

    def answers(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The best constant output, and that of a network of no signal.

        Errors: any, for a setting of which it is not known what it does to them.
        """
        given = {
            name: each for name, each in self.settings.items()
            if name != "reduction" and each is not None
        }  # fmt: skip
        return self.loss.answers(output.detach(), target.detach(), **given)

    def of(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss itself, without a trace in the user's."""
        found: Tensor = self.loss.function(output, target, **self.settings)
        return found


def known_loss(
    loss: Any, rest: Sequence[Any] = (), named: Mapping[str, Any] | None = None
) -> Known | None:
    """Of a loss of PyTorch's, a function or a module, called with ``rest`` behind output and
    target, and with ``named``; None of any other.

    >>> known_loss(nn.HuberLoss(delta=2.0)).settings
    {'reduction': 'mean', 'delta': 2.0}
    >>> known_loss(F.cross_entropy, named={"ignore_index": 0}).settings
    {'ignore_index': 0}
    """
    if isinstance(loss, nn.Module):
        found = _BY_MODULE.get(type(loss))
        if found is None or rest or named or "forward" in vars(loss):
            return None
        names = ("reduction", *found.settings)
        return Known(found, {name: getattr(loss, name) for name in names if hasattr(loss, name)})
    found = _BY_FUNCTION.get(loss) if callable(loss) else None
    if found is None:
        return None
    try:
        bound = inspect.signature(found.function).bind(None, None, *rest, **(named or {}))
    except TypeError:
        return None
    return Known(found, dict(list(bound.arguments.items())[2:]))


def constant_loss(
    loss: Callable[..., Any], output: Tensor, target: Tensor, *rest: Any, **named: Any
) -> float | None:
    """What ``loss(output, target, *rest, **named)`` would be for the best constant output over this
    batch; None where that is not known, and where every sample is asked for the same: such an
    answer is all there is to learn then, or the output has no constant of its own, as scores of
    pairs the first of which are the right ones.

    >>> y = torch.tensor([[0.0], [2.0]])
    >>> constant_loss(nn.MSELoss(), y, y)
    1.0
    """
    known = known_loss(loss, rest, named)
    if known is None or not output.numel():
        return None
    if not known.in_classes and target.shape != output.shape:
        return None
    if len(target) > 1 and bool((target == target[:1]).all()):
        return None
    with torch.no_grad():
        try:
            constant, _ = known.answers(output, target)
        except TypeError:  # a setting that changes the answer in a way not known here
            return None
        value = known.of(constant, target.detach())
    if value.numel() != 1:  # of each sample
        return None
    found = float(value)
    return found if math.isfinite(found) else None
