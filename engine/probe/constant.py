"""What answers that look at nothing would get: the best constant one, and one of no signal.

By PyTorch's losses, whether they are called as a function or as a module: of a loss of the user's
own nobody can tell what a constant answer would be, and asking it would be a call that counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Answers", "answers_of", "constant_loss", "in_classes", "in_numbers"]

LEAST_CHANCE = 1e-6  # of a class that is not in the batch: its logarithm is wanted all the same

Answers = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Of an output and a target: the best constant output, and that of a network of no signal."""


def in_numbers(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The targets' mean, which is best for squares; zeros."""
    mean = target.to(output.dtype).mean(0, keepdim=True)
    return mean.expand_as(output), torch.zeros_like(output)


def _by_median(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    median = target.to(output.dtype).median(0, keepdim=True).values
    return median.expand_as(output), torch.zeros_like(output)


def _logits(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return torch.logit(_chance(output, target)).expand_as(output), torch.zeros_like(output)


def _chances(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return _chance(output, target).expand_as(output), torch.full_like(output, 0.5)


def _chance(output: Tensor, target: Tensor) -> Tensor:
    mean = target.to(output.dtype).mean(0, keepdim=True)
    return mean.clamp(LEAST_CHANCE, 1 - LEAST_CHANCE)


def in_classes(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithms of the classes' shares; every class alike."""
    axis = 0 if output.dim() == 1 else 1
    number = output.shape[axis]
    shape = [number if i == axis else 1 for i in range(output.dim())]
    if target.is_floating_point():
        counts = target.transpose(0, axis).flatten(1).sum(1)
    else:
        counted = target[(target >= 0) & (target < number)].flatten()
        counts = torch.bincount(counted, minlength=number).to(output.dtype)
    chances = (counts / counts.sum()).clamp_min(LEAST_CHANCE)
    constant = (chances / chances.sum()).log().view(shape).expand_as(output)
    return constant, torch.full_like(output, -math.log(number))


_ANSWERS: Mapping[Any, Answers] = {
    F.cross_entropy: in_classes, F.nll_loss: in_classes, F.binary_cross_entropy: _chances,
    F.binary_cross_entropy_with_logits: _logits, F.mse_loss: in_numbers, F.l1_loss: _by_median,
    F.smooth_l1_loss: in_numbers, F.huber_loss: in_numbers,
}  # fmt: skip
_FUNCTIONS: Mapping[type[nn.Module], Any] = {
    nn.CrossEntropyLoss: F.cross_entropy, nn.NLLLoss: F.nll_loss,
    nn.BCELoss: F.binary_cross_entropy, nn.MSELoss: F.mse_loss,
    nn.BCEWithLogitsLoss: F.binary_cross_entropy_with_logits,
    nn.L1Loss: F.l1_loss, nn.SmoothL1Loss: F.smooth_l1_loss, nn.HuberLoss: F.huber_loss,
}  # fmt: skip


def answers_of(loss: Any) -> Answers | None:
    """Of a loss of PyTorch's, a function or a module; None of any other.

    >>> answers_of(nn.MSELoss()) is answers_of(F.mse_loss) is in_numbers
    True
    """
    function = _FUNCTIONS.get(type(loss), loss)
    return _ANSWERS.get(function) if callable(function) else None


def constant_loss(loss: Callable[..., Any], output: Tensor, target: Tensor) -> float | None:
    """The ``loss`` of the best constant output over this batch; None where that is not known.

    >>> y = torch.tensor([[0.0], [2.0]])
    >>> constant_loss(nn.MSELoss(), y, y)
    1.0
    """
    answers = answers_of(loss)
    if answers is None or not output.numel():
        return None
    output, target = output.detach(), target.detach()
    entry_by_entry = answers is not in_classes
    if entry_by_entry and target.shape != output.shape:
        return None
    with torch.no_grad():
        constant, _ = answers(output, target)
        value = loss(constant, target)
    if value.numel() != 1:  # of each sample
        return None
    found = float(value)
    return found if math.isfinite(found) else None
