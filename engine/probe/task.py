"""What a loss is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from layerscope.engine.basis.text import dtype_name
from layerscope.engine.probe.step import Task

__all__ = ["LARGE_INPUT", "SMALL_INPUT", "are_probabilities", "task_of"]

LARGE_INPUT, SMALL_INPUT = 20.0, 0.02
"""rms of an input; standardised data have 1, pixels of 0…1 about 0.5, those of 0…255 about 140."""
LEAST_SAMPLES = 4
"""Fewer cannot tell probabilities from numbers that happen to add up to one."""


def task_of(function: Callable[..., Any], given: Sequence[Any]) -> Task | None:
    """Of a call ``function(output, target)``; None where it is not of that form."""
    if len(given) < 2 or not all(isinstance(each, Tensor) for each in given[:2]):
        return None
    output, target = given[0].detach(), given[1].detach()
    if not output.is_floating_point() or not output.numel():
        return None
    return Task(
        _name(function), tuple(output.shape), tuple(target.shape),
        dtype_name(target.dtype), are_probabilities(output), float(output.max()),
        float(output.min()),
    )  # fmt: skip


def are_probabilities(output: Tensor) -> bool:
    """Whether the classes of every sample, along axis 1 or the only one, are not negative and add
    up to one."""
    rows = output.movedim(1, -1).flatten(0, -2) if output.dim() > 1 else output[None]
    if rows.shape[-1] < 2 or rows.shape[0] < LEAST_SAMPLES:
        return False
    sums = rows.double().sum(-1)
    close = torch.allclose(sums, torch.ones_like(sums), atol=1e-3)
    return bool((rows >= 0).all()) and close


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", None) or type(function).__name__
