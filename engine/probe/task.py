"""What a loss is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from layerscope.engine.basis.text import dtype_name
from layerscope.engine.probe.step import Task

__all__ = ["LARGE_INPUT", "SMALL_INPUT", "are_probabilities", "task_of"]

LARGE_INPUT, SMALL_INPUT = 20.0, 0.02
"""rms of an input; standardised data have 1, pixels of 0…1 about 0.5, those of 0…255 about 140."""
ROUNDED = 0.02
"""Sums in bfloat16 are so far off."""
LEAST_SAMPLES = 4
"""Fewer cannot tell probabilities from numbers that happen to add up to one."""


def task_of(
    function: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any] | None = None
) -> Task | None:
    """Of a call ``function(output, target, **named)``; None where it is not of that form."""
    if len(given) < 2 or not all(isinstance(each, Tensor) for each in given[:2]):
        return None
    output, target = given[0].detach(), given[1].detach()
    if not output.is_floating_point() or not output.numel():
        return None
    return Task(
        _name(function), tuple(output.shape), tuple(target.shape),
        dtype_name(target.dtype), are_probabilities(output), float(output.max()),
        float(output.min()), _over_batch(output), _smoothing(function, named or {}),
    )  # fmt: skip


def _over_batch(output: Tensor) -> bool:
    """Whether a softmax of (samples, classes), or its logarithm, was taken over the samples."""
    if output.dim() != 2 or min(output.shape) < 2 or output.shape[0] < LEAST_SAMPLES:
        return False
    for each in (output, output.exp()):
        if bool((each >= 0).all()) and _ones(each.sum(0)) and not _ones(each.sum(1)):
            return True
    return False


def _ones(sums: Tensor) -> bool:
    """To the last digits of a narrow format too."""
    exact = sums.double()
    return torch.allclose(exact, torch.ones_like(exact), atol=ROUNDED)


def _smoothing(function: Callable[..., Any], named: Mapping[str, Any]) -> float:
    given = named.get("label_smoothing", getattr(function, "label_smoothing", 0.0))
    return float(given) if isinstance(given, int | float) else 0.0


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
