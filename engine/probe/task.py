"""What a loss is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from layerscope.engine.probe.step import Task

__all__ = ["task_of"]


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


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", None) or type(function).__name__
