"""What answers that look at nothing would get: the best constant one, and one of no signal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from layerscope.engine.probe.outputs import main_tensor
from layerscope.engine.probe.preflight.functions import LossCall
from layerscope.engine.probe.preflight.look import Look

__all__ = ["Reference", "reference_of"]

LEAST_CHANCE = 1e-6  # of a class that is not in the batch: its logarithm is wanted all the same


class Reference(NamedTuple):
    """Losses on this batch: of the ``constant`` answer that is best, and of the ``neutral`` one
    that a network of no signal gives: zeros, or every class alike."""

    constant: float
    neutral: float
    classes: int | None
    """Their number, where the target holds classes."""


Answers = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _numbers(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    mean = target.to(output.dtype).mean(0, keepdim=True)
    return mean.expand_as(output), torch.zeros_like(output)


def _logits(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    chance = target.to(output.dtype).mean(0, keepdim=True).clamp(LEAST_CHANCE, 1 - LEAST_CHANCE)
    return torch.logit(chance).expand_as(output), torch.zeros_like(output)


def _chances(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    mean = target.to(output.dtype).mean(0, keepdim=True).clamp(LEAST_CHANCE, 1 - LEAST_CHANCE)
    return mean.expand_as(output), torch.full_like(output, 0.5)


def _classes(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
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


ANSWERS: Mapping[Any, Answers] = {
    F.cross_entropy: _classes, F.nll_loss: _classes, F.binary_cross_entropy: _chances,
    F.binary_cross_entropy_with_logits: _logits, F.mse_loss: _numbers, F.l1_loss: _numbers,
    F.smooth_l1_loss: _numbers, F.huber_loss: _numbers,
}  # fmt: skip


def reference_of(look: Look, loss: Callable[..., Any]) -> Reference | None:
    """Of the loss that was computed; None where it is none that tells, as one without a target."""
    try:
        with torch.no_grad():
            found = _asked(look, loss)
    except Exception:  # a loss that takes no such answers
        return None
    return found if found and all(map(math.isfinite, found[:2])) else None


def _asked(look: Look, loss: Callable[..., Any]) -> Reference | None:
    if len(look.loss_calls) == 1:
        call = look.loss_calls[0]
        return _of_call(call)
    target = main_tensor(look.batch.y)
    if look.loss_calls or look.output is None or target is None:
        return None
    if target.shape != look.output.shape:
        target = target.reshape(look.output.shape)
    constant, neutral = _numbers(look.output, target.detach())
    best = float(loss(constant, look.batch.target()))
    return Reference(best, float(loss(neutral, look.batch.target())), None)


def _of_call(call: LossCall) -> Reference | None:
    answers = ANSWERS.get(call.function)
    if answers is None:
        return None
    target = call.target
    if call.entry_by_entry and target.shape != call.output.shape:
        if target.numel() != call.output.numel():
            return None
        target = target.reshape(call.output.shape)  # what was meant
        call = LossCall(call.function, call.output, target, call.rest, call.named)
    constant, neutral = answers(call.output, target)
    classes = call.output.shape[1] if answers is _classes and call.output.dim() > 1 else None
    return Reference(call.of(constant), call.of(neutral), classes)
