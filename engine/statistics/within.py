"""How many entries of a tensor lie in an interval."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from layerscope.engine.statistics.activity import as_rows
from layerscope.engine.statistics.compilation import fast_kernel, kernel, pointer
from layerscope.engine.statistics.ordinary import is_ordinary

__all__ = ["within"]

Intervals = tuple[tuple[float | None, float | None], ...]
NOWHERE: Intervals = ((math.inf, -math.inf),)


def within(tensor: Tensor, intervals: Intervals, rows: int) -> tuple[int, int]:
    """How many entries of the first ``rows`` of ``tensor``, (rows, ...), lie in closed
    ``intervals`` that do not meet, None standing for no bound; and how many are not NaN.

    >>> within(torch.tensor([[-1.0], [1.0], [2.0], [math.nan]]), ((None, 0.0), (2.0, None)), 9)
    (2, 3)
    """
    x = tensor if is_ordinary(tensor) else as_rows(tensor[:rows])
    count = _count64 if x.dtype == torch.float64 else _count32
    address, size = x.data_ptr(), x.numel()
    if len(x) > rows:
        size = size // len(x) * rows
    inside, known = 0, size
    for low, high in intervals or NOWHERE:
        found, nan = count(
            address, size, -math.inf if low is None else low, math.inf if high is None else high
        )
        inside, known = inside + int(found), size - int(nan)
    return inside, known


@fast_kernel
def _count(x: Any, low: float, high: float) -> tuple[int, int]:
    inside = nan = 0
    for i in range(x.size):
        value = x[i]
        inside += low <= value <= high
        nan += value != value
    return inside, nan


@kernel
def _count32(address: int, size: int, low: float, high: float) -> tuple[int, int]:
    return _count(numba.carray(pointer(address), (size,), np.float32), low, high)


@kernel
def _count64(address: int, size: int, low: float, high: float) -> tuple[int, int]:
    return _count(numba.carray(pointer(address), (size,), np.float64), low, high)
