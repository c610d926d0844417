"""Whether compiled code may read tensors as they lie, asked of many at once."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

__all__ = ["ORDINARY", "all_ordinary", "is_ordinary"]

ORDINARY: tuple[Any, ...] = (Tensor, torch.nn.Parameter)
"""Classes whose numbers are where they say; a subclass may hold something else."""


def all_ordinary(tensors: Sequence[Tensor]) -> bool:
    """Whether all are float32 tensors in the CPU's memory, number after number.

    Every question is asked of all at once: a loop over tensors would hold the interpreter's lock
    for longer than reading them takes.

    >>> all_ordinary([torch.ones(2)]), all_ordinary([torch.ones(2), torch.ones(2, 2)[:, 0]])
    (True, False)
    """
    return (
        _TYPES.issuperset(map(type, tensors))
        and _FLOAT32.issuperset(map(_dtype, tensors))
        and _STRIDED.issuperset(map(_layout, tensors))
        and all(map(_is_cpu, tensors))
        and all(map(_is_contiguous, tensors))
        and not any(map(_is_neg, tensors))
    )


def is_ordinary(tensor: Tensor) -> bool:
    """`all_ordinary` of one."""
    return (
        type(tensor) in ORDINARY
        and tensor.dtype is torch.float32
        and tensor.layout is torch.strided
        and tensor.is_cpu
        and tensor.is_contiguous()
        and not tensor.is_neg()
    )


_TYPES = frozenset(ORDINARY)
_FLOAT32, _STRIDED = frozenset({torch.float32}), frozenset({torch.strided})
_dtype, _layout, _is_cpu = map(attrgetter, ("dtype", "layout", "is_cpu"))
_is_contiguous, _is_neg = Tensor.is_contiguous, Tensor.is_neg
