"""What answers that look at nothing get from the loss that was called."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from layerscope.engine.probe.constant import in_numbers, known_loss
from layerscope.engine.probe.outputs import main_tensor
from layerscope.engine.probe.preflight.functions import LossCall
from layerscope.engine.probe.preflight.look import Look

__all__ = ["Reference", "reference_of"]


class Reference(NamedTuple):
    """Losses on this batch: of the ``constant`` answer that is best, and of the ``neutral`` one
    that a network of no signal gives: zeros, or every class alike."""

    constant: float
    neutral: float
    classes: int | None
    """Their number, where the target holds classes."""


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
    constant, neutral = in_numbers(look.output, target.detach())
    best = float(loss(constant, look.batch.target()))
    return Reference(best, float(loss(neutral, look.batch.target())), None)


def _of_call(call: LossCall) -> Reference | None:
    known = known_loss(call.function, call.rest, call.named)
    if known is None:
        return None
    target = call.target
    if call.entry_by_entry and target.shape != call.output.shape:
        if target.numel() != call.output.numel():
            return None
        target = target.reshape(call.output.shape)  # what was meant
        call = LossCall(call.function, call.output, target, call.rest, call.named)
    constant, neutral = known.answers(call.output, target)
    classes = call.output.shape[1] if known.in_classes and call.output.dim() > 1 else None
    return Reference(call.of(constant), call.of(neutral), classes)
