"""What a loss is asked, and what the best constant answer would get."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from layerscope.engine.probe.step import Task

__all__ = ["baseline_of", "task_of"]


def task_of(function: Callable[..., Any], given: Sequence[Any]) -> Task | None:
    """Of a call ``function(output, target)``; None where it is not of that form."""
    if len(given) < 2 or not all(isinstance(each, Tensor) for each in given[:2]):
        return None
    output, target = given[0].detach(), given[1].detach()
    if not output.is_floating_point() or not output.numel():
        return None
    rows = output.dim() > 1 and output.shape[1] > 1
    sums = output.sum(1) if rows else None
    probabilities = (
        sums is not None
        and bool((output >= 0).all())
        and bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-3))
    )
    return Task(
        _name(function), tuple(output.shape), tuple(target.shape),
        str(target.dtype).removeprefix("torch."), probabilities, float(output.max()),
    )  # fmt: skip


def baseline_of(function: Callable[..., Any], given: Sequence[Any]) -> float | None:
    """The loss of the best constant output over this batch; None where that is not known.

    The mean of the targets, or the classes' frequencies as logits. Only PyTorch's own losses are
    asked: a user's function may count its calls.

    >>> from torch import nn
    >>> y = torch.tensor([[0.0], [2.0]])
    >>> baseline_of(nn.MSELoss(), [y, y])
    1.0
    """
    module = getattr(function, "__module__", "") or ""
    if not module.startswith("torch.") or len(given) != 2:
        return None
    output, target = (each.detach() for each in given)
    with torch.no_grad():
        if target.is_floating_point() and target.shape == output.shape and target.dim():
            constant = _constant(target, "logits" in _name(function).lower())
        elif not target.is_floating_point() and output.dim() == target.dim() + 1 > 1:
            counts = torch.bincount(target.flatten().clamp_min(0), minlength=output.shape[1])
            chances = counts[: output.shape[1]].to(output.dtype).clamp_min(1e-6)
            shape = [1, -1, *[1] * (output.dim() - 2)]
            constant = (chances / chances.sum()).log().view(shape).expand_as(output)
        else:
            return None
        value = float(function(constant, target))
    return value if math.isfinite(value) else None


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", None) or type(function).__name__


def _constant(target: Tensor, as_logits: bool) -> Tensor:
    mean = target.mean(0, keepdim=True)
    if as_logits:
        mean = torch.logit(mean.clamp(1e-6, 1 - 1e-6))
    return mean.expand_as(target)
