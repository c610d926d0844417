"""Which of many tensors hold a NaN or an infinity: one compiled call, at the speed of memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from layerscope.engine.statistics.compilation import fast_kernel, kernel, pointer
from layerscope.engine.statistics.ordinary import all_ordinary

__all__ = ["is_finite", "nonfinite_places", "nonfinite_rows"]

EXPONENT32, EXPONENT64 = np.int32(0x7F80_0000), np.int64(0x7FF0_0000_0000_0000)
BLOCK = 4096


@fast_kernel
def _bad(bits: Any, exponent: Any) -> int:
    """How many patterns have the exponent field full, which only NaN and Inf have."""
    found = bits.dtype.type(0)
    for i in range(bits.size):
        found += bits.dtype.type((bits[i] & exponent) == exponent)
    return found  # type: ignore[no-any-return]


@kernel
def _any_bad(bits: Any, exponent: Any) -> bool:
    start, found = 0, 0
    while start < bits.size and not found:
        found = _bad(bits[start : start + BLOCK], exponent)
        start += BLOCK
    return found > 0


@kernel
def _mark(table: Any, found: Any) -> None:
    """A row begins with (address, size, wide)."""
    for row in range(table.shape[0]):
        address, size = table[row, 0], table[row, 1]
        if table[row, 2]:
            wide = numba.carray(pointer(address), (size,), np.int64)
            found[row] = _any_bad(wide, EXPONENT64)
        else:
            narrow = numba.carray(pointer(address), (size,), np.int32)
            found[row] = _any_bad(narrow, EXPONENT32)


@kernel
def _bad32(address: int, size: int) -> bool:
    return _any_bad(numba.carray(pointer(address), (size,), np.int32), EXPONENT32)


@kernel
def _bad64(address: int, size: int) -> bool:
    return _any_bad(numba.carray(pointer(address), (size,), np.int64), EXPONENT64)


def is_finite(tensor: Tensor) -> bool:
    """Whether no entry is NaN or infinite; about a microsecond and the reading of its memory.

    >>> is_finite(torch.tensor([1.0, float("inf")]))
    False
    """
    if tensor.layout is torch.strided and tensor.is_cpu and tensor.is_contiguous():
        if tensor.dtype is torch.float32:
            return not _bad32(tensor.data_ptr(), tensor.numel())
        if tensor.dtype is torch.float64:
            return not _bad64(tensor.data_ptr(), tensor.numel())
    return _finite(tensor.detach())


def nonfinite_places(tensors: Sequence[Tensor]) -> list[int]:
    """The places in ``tensors`` of those that hold a NaN or an infinity.

    Any dtype, layout and device; what lies in the CPU's memory as float32 or float64 is read in
    one call without the interpreter's lock, everything else by PyTorch.

    >>> nonfinite_places([torch.ones(3), torch.tensor([1.0, float("nan")]), torch.ones(2).half()])
    [1]
    """
    if all_ordinary(tensors):
        table = np.zeros((len(tensors), 3), np.int64)
        table[:, 0] = list(map(_data_ptr, tensors))
        table[:, 1] = list(map(_numel, tensors))
        return nonfinite_rows(table)
    rows: list[int] = []
    places, found = [], []
    for place, tensor in enumerate(tensors):
        wide = tensor.dtype is torch.float64
        dense = tensor.layout is torch.strided and tensor.is_cpu and tensor.is_contiguous()
        if dense and (wide or tensor.dtype is torch.float32):
            rows += (tensor.data_ptr(), tensor.numel(), wide)
            places.append(place)
        elif not _finite(tensor.detach()):
            found.append(place)
    if rows:
        found += [places[i] for i in nonfinite_rows(np.array(rows, np.int64).reshape(-1, 3))]
    return sorted(found)


def nonfinite_rows(table: NDArray[np.int64]) -> list[int]:
    """The same of tensors that are told by a row each: (address, number of entries, whether these
    are float64 and not float32), and whatever follows."""
    found = np.empty(len(table), np.bool_)
    _mark(table, found)
    return np.flatnonzero(found).tolist()


_data_ptr, _numel = Tensor.data_ptr, Tensor.numel


def _finite(tensor: Tensor) -> bool:
    if tensor.layout == torch.sparse_coo:
        tensor = tensor._values()
    elif tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    return bool(torch.isfinite(tensor).all())
