"""``statistics``: which memory to read, by which kernel, on how many threads."""

from __future__ import annotations

import math
import struct
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from layerscope.engine.statistics.fallback import statistics_torch
from layerscope.engine.statistics.kernel import (
    LOWEST32,
    LOWEST64,
    STATE,
    chunk32,
    chunk64,
    finish32,
    finish64,
)  # fmt: skip
from layerscope.engine.statistics.machine_code import Kept, kept
from layerscope.engine.statistics.reading import read
from layerscope.engine.statistics.record import Histogram, Statistics

__all__ = ["dense", "machine_code", "statistics", "told"]

ANSWER = struct.Struct("8q5d")


class _Format(NamedTuple):
    """How the entries of one dtype are read."""

    wide: bool
    """Whether they are read as float64; everything narrower is read as float32."""
    converted: bool
    """Whether they must be converted first; every narrower float is exact in float32."""
    lowest: int
    normal: int
    """Index of the smallest normal number's exponent, counted from ``lowest``."""


@cache
def _format(dtype: torch.dtype) -> _Format:
    if not dtype.is_floating_point:
        raise TypeError(f"statistics need a tensor of floats, got dtype {dtype}")
    wide = dtype == torch.float64
    lowest = LOWEST64 if wide else LOWEST32
    smallest_normal = math.frexp(torch.finfo(dtype).smallest_normal)[1] - 1
    return _Format(wide, dtype.itemsize < 4, lowest, smallest_normal - lowest)


def statistics(tensor: Tensor) -> Statistics:
    """Everything about one tensor's entries, in one pass over its memory: see ``Statistics``.

    The tensor may have any width, shape and strides; gradients are not followed.

    Errors: ``TypeError`` for a dtype that is not floating-point, or a layout that is not dense.

    >>> s = statistics(torch.tensor([0.0, -3.0, -6.0, float("nan")]))
    >>> s.count, s.finite, s.mean, s.std, s.zeros, s.nan
    (4, 3, -3.0, 3.0, 1, 1)
    >>> s.histogram.to_dict()
    {'exponents': [1, 2], 'positive': [0, 0], 'negative': [1, 1]}
    """
    form = _format(tensor.dtype)
    if not tensor.is_cpu:
        return statistics_torch(tensor)
    source = dense(tensor, form.converted)
    size = source.numel()
    record = read(source.data_ptr(), size, form.wide, form.normal)
    return told(record[: STATE + 2 * record[7]].copy(), 0, size, form.lowest)


def told(words: NDArray[np.int64], at: int, size: int, lowest: int) -> Statistics:
    """What the kernel's answer, which begins ``at`` a place among ``words``, says of ``size``
    entries; its histogram, counted from the exponent ``lowest`` on, stays where it is."""
    answer = ANSWER.unpack_from(words.data, 8 * at)
    finite, zeros, subnormal, nan, posinf, neginf, first, length, mean, std, rms, low, high = answer
    begin = at + STATE
    end = begin + length
    histogram = Histogram(
        lowest + first if length else 0, words[begin:end], words[end : end + length]
    )
    if not finite:
        mean = std = rms = low = high = None
    elif not std < math.inf:  # NaN for one entry, Inf beyond float64's range
        std = None
    return Statistics(
        size, finite, mean, std, rms, low, high, zeros, subnormal, nan, posinf, neginf, histogram
    )


def dense(tensor: Tensor, convert: bool) -> Tensor:
    """A tensor of the same entries, in any order, that lie in memory one after another."""
    if tensor.layout != torch.strided:
        raise TypeError(f"statistics need a dense tensor, got layout {tensor.layout}")
    if convert:
        tensor = tensor.detach().float()
    if tensor.is_neg():  # a view whose sign is not in its memory
        tensor = tensor.detach().resolve_neg()
    if tensor.is_contiguous():
        return tensor
    order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    packed = tensor.detach().permute(order)
    # A transposed matrix occupies its memory without a gap, and statistics know no order.
    return packed if packed.is_contiguous() else tensor.detach().contiguous()


def machine_code() -> tuple[Kept, str]:
    """Whether the kernels are compiled for this processor already, and where that is kept."""
    return kept([chunk32, chunk64, finish32, finish64])
