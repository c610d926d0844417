"""Statistics of many tensors by one compiled call, and as bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from layerscope.engine.statistics import kernel
from layerscope.engine.statistics.measure import dense
from layerscope.engine.statistics.packing import pack

__all__ = ["Answers", "Reader", "plain"]

MOST_DENSE = 1 << 24
"""Entries of a sparse tensor up to which its zeros are written out."""

Words = NDArray[np.int64]


def _format(dtype: torch.dtype) -> tuple[int, int, int]:
    """Whether it is read as float64; from which exponent it counts; where its normals begin."""
    wide = dtype == torch.float64
    lowest = kernel.LOWEST64 if wide else kernel.LOWEST32
    smallest_normal = math.frexp(torch.finfo(dtype).smallest_normal)[1] - 1
    return int(wide), lowest, smallest_normal - lowest


_READ = {dtype: _format(dtype) for dtype in (torch.float32, torch.float64)}
_NARROW = {
    dtype: _format(dtype)[2]
    for dtype in (torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
}


def plain(tensor: Tensor) -> Tensor:
    """A tensor of the same numbers, in any order, as the kernel reads them: contiguous, in the
    CPU's memory, as float32 or float64. Complex numbers are two real ones; of a sparse tensor that
    would be too large it is the numbers it stores.

    >>> plain(torch.ones(1, dtype=torch.bfloat16).expand(2, 3)).dtype
    torch.float32
    """
    tensor = tensor.detach()
    if tensor.layout == torch.sparse_coo and tensor.numel() > MOST_DENSE:
        tensor = tensor.coalesce().values()
    elif tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    if not tensor.is_floating_point():
        raise TypeError(f"expected floats or complex numbers, got dtype {tensor.dtype}")
    return dense(tensor.cpu(), tensor.dtype not in _READ)


class Answers:
    """What the kernel said of some tensors, in the order in which they were given."""

    def __init__(self, table: Words, arena: Words, lowest: Words) -> None:
        self.parts = table[:, 6]
        self.arena = arena
        self.lowest = lowest

    @staticmethod
    def packed(
        answers: Sequence[Answers], groups: Sequence[Sequence[int]], shifts: Sequence[int]
    ) -> tuple[bytes, NDArray[np.float64]]:
        """The bytes of one ``Statistics`` a group of tensors, counted through all ``answers``,
        divided by 2 to the power of its shift; and ``FIGURES`` of each.

        >>> reader = Reader()
        >>> x = torch.tensor([1.0, 2.0, 3.0])
        >>> data, figures = Answers.packed([reader.read([x])], [[0]], [0])
        >>> from layerscope.engine.statistics import statistics
        >>> data == statistics(x).to_bytes()[1:]
        True
        """
        arena = np.concatenate([a.arena for a in answers] or [np.empty(0, np.int64)])
        begins = np.cumsum([0, *(a.arena.size for a in answers)])
        places = [a.parts + at for a, at in zip(answers, begins[:-1], strict=True)]
        parts = np.concatenate(places or [np.empty(0, np.int64)])
        lowest = np.concatenate([a.lowest for a in answers] or [np.empty(0, np.int64)])
        order = np.fromiter((i for group in groups for i in group), np.int64)
        starts = np.cumsum([0, *map(len, groups)])
        buffer, figures = pack(
            arena, parts[order], lowest[order], starts, np.asarray(shifts, np.int64)
        )
        return buffer.tobytes(), figures


class Reader:
    """A thread's own memory for reading; not to be used by two at once."""

    def __init__(self) -> None:
        self._counters = np.zeros(kernel.CELLS32, np.uint32), np.zeros(kernel.CELLS64, np.uint32)
        self._table = np.zeros((0, 7), np.int64)

    def read(
        self,
        tensors: Sequence[Tensor],
        snapshots: Sequence[Tensor | None] | None = None,
        subtracts: bool = False,
    ) -> Answers:
        """Reads every tensor once, by one call without the interpreter's lock.

        Where a snapshot stands beside a tensor (float32 or float64, contiguous, of its size and
        of the dtype that ``plain`` gives it) it gets the tensor's numbers; if ``subtracts``, the
        answer is about the change against what it held.
        """
        rows: list[int] = []
        kept, room = [], 0
        for place, tensor in enumerate(tensors):
            form = _READ.get(tensor.dtype)
            normal = -1
            if form is None or not _readable(tensor):
                normal = _NARROW.get(tensor.dtype, -1)
                tensor = plain(tensor)
                kept.append(tensor)
                form = _READ[tensor.dtype]
            snapshot = snapshots[place] if snapshots is not None else None
            rows += (
                tensor.data_ptr(), tensor.numel(), form[0], form[2] if normal < 0 else normal,
                0 if snapshot is None else snapshot.data_ptr(), int(subtracts), 0,
            )  # fmt: skip
            room += kernel.STATE + 2 * (kernel.SPAN64 if form[0] else kernel.SPAN32)
        table = np.array(rows, np.int64).reshape(-1, 7)
        arena = np.empty(room, np.int64)
        used = kernel.many(table, arena, *self._counters)
        lowest = np.where(table[:, 2] != 0, kernel.LOWEST64, kernel.LOWEST32)
        return Answers(table, arena[:used].copy(), lowest)


def _readable(tensor: Tensor) -> bool:
    return (
        tensor.layout is torch.strided
        and tensor.is_cpu
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and type(tensor) in _ORDINARY
    )


_ORDINARY: tuple[Any, ...] = (Tensor, torch.nn.Parameter)
