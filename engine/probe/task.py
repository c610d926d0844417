"""What a loss is asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerscope.engine.basis.text import dtype_name
from layerscope.engine.probe.constant import known_loss
from layerscope.engine.probe.step import Task

__all__ = ["LARGE_INPUT", "SMALL_INPUT", "are_probabilities", "broadcasts", "task_of"]

LARGE_INPUT, SMALL_INPUT = 20.0, 0.02
"""rms of an input; standardised data have 1, pixels of 0…1 about 0.5, those of 0…255 about 140."""
ROUNDED = 0.02
"""Sums in bfloat16 are so far off."""
LEAST_SAMPLES = 4
"""Fewer cannot tell probabilities from numbers that happen to add up to one."""
SAME = 1e-5
"""Of a mean that is computed in another order."""
MOST_PAIRS = 1_000_000
"""Entries of a broadcast that is computed to be compared."""
LEAST_ENTRIES = 32
"""Of an output: a correlation of fewer is mostly chance."""
FIRST = 4
"""Sums that are looked at before all of them: they show in next to no time what is no softmax."""


def task_of(
    function: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any] | None = None
) -> Task | None:
    """Of a call ``function(output, target, **named)``; None where it is not of that form."""
    if len(given) < 2 or not all(isinstance(each, Tensor) for each in given[:2]):
        return None
    output, target = given[0].detach(), given[1].detach()
    if not output.is_floating_point() or not output.numel():
        return None
    known = known_loss(function, given[2:], named)
    entries = known is not None and not known.in_classes
    own = known is not None or _of_pytorch(function)
    return Task(
        _name(function), tuple(output.shape), tuple(target.shape),
        dtype_name(target.dtype), are_probabilities(output), float(output.max()),
        float(output.min()), _over_batch(output), _smoothing(function, named or {}),
        own, entries, entries and output.shape != target.shape and _whole(target),
        *_ends(target), _several(output, target), _alike(output, given[1]),
    )  # fmt: skip


def _of_pytorch(function: Callable[..., Any]) -> bool:
    """Whether it is one of PyTorch's losses of which a constant answer's is not known."""
    others = (nn.KLDivLoss, nn.SoftMarginLoss)
    return function in (F.kl_div, F.soft_margin_loss) or type(function) in others


def _ends(target: Tensor) -> tuple[float | None, float | None]:
    if target.is_complex() or not target.numel():
        return None, None
    low, high = torch.aminmax(target)
    return float(low), float(high)


def _several(output: Tensor, target: Tensor) -> bool:
    """Whether a sample is asked for more than one of what stands along axis 1."""
    if output.shape != target.shape or target.dim() < 2 or not target.is_floating_point():
        return False
    return bool(target.sum(1).max() > 1 + ROUNDED)


def _alike(output: Tensor, target: Tensor) -> float | None:
    """The correlation of what is answered with what is asked for, which no gradient changes. Not of
    one number a sample, which may stand for the opposite: a risk, where a time is known; nor of
    distances, which are small where two are alike."""
    if output.shape != target.shape or target.requires_grad or not target.is_floating_point():
        return None
    if output.dim() < 2 or math.prod(output.shape[1:]) < 2 or output.numel() < LEAST_ENTRIES:
        return None
    if not output.min() < 0 < output.max():
        return None
    both = torch.stack([output.flatten().double(), target.flatten().double()])
    alike = float(torch.corrcoef(both)[0, 1])
    return alike if math.isfinite(alike) else None


def _whole(numbers: Tensor) -> bool:
    return not numbers.is_floating_point() or bool((numbers == numbers.round()).all())


def broadcasts(value: Tensor, output: Tensor, target: Tensor) -> bool:
    """Whether a loss of the user's gave what the mean of squares or of distances is where output
    and target, of other shapes, are stretched to a third; not where they are reshaped first.

    >>> output, target = torch.randn(4, 1), torch.randn(4)
    >>> broadcasts(((output - target) ** 2).mean(), output, target)
    True
    >>> broadcasts(((output[:, 0] - target) ** 2).mean(), output, target)
    False
    """
    axes = zip_longest(reversed(output.shape), reversed(target.shape), fillvalue=1)
    if output.shape == target.shape or value.numel() != 1 or math.prod(map(max, axes)) > MOST_PAIRS:
        return False
    with torch.no_grad():
        apart = output - target
        each = (apart.square().mean(), apart.abs().mean())
        if not any(torch.isclose(value.detach().squeeze(), found, rtol=SAME) for found in each):
            return False
        if output.numel() != target.numel():
            return True
        apart = output.flatten() - target.flatten()
        aligned = (apart.square().mean(), apart.abs().mean())
        return not any(torch.isclose(a, b, rtol=SAME) for a in aligned for b in each)


def _over_batch(output: Tensor) -> bool:
    """Whether a softmax of (samples, classes), or its logarithm, was taken over the samples."""
    if output.dim() != 2 or min(output.shape) < 2 or output.shape[0] < LEAST_SAMPLES:
        return False
    if output.shape[0] == output.shape[1]:
        return False  # each sample against each: the other direction is meant as often
    return any(
        _shares(of(output[:, :FIRST]), 0)
        and _shares(each := of(output), 0)
        and not _ones(each.sum(1))
        for of in (torch.Tensor.detach, torch.exp)
    )


def _shares(numbers: Tensor, axis: int) -> bool:
    """Whether they are not negative and add up to one along ``axis``."""
    return bool((numbers >= 0).all()) and _ones(numbers.sum(axis))


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
    if rows.shape[-1] < 2 or rows.shape[0] < LEAST_SAMPLES or not _shares(rows[:FIRST], -1):
        return False
    sums = rows.double().sum(-1)
    close = torch.allclose(sums, torch.ones_like(sums), atol=1e-3)
    return bool((rows >= 0).all()) and close


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", None) or type(function).__name__
