"""Statistics of many tensors by one compiled call, and as bytes."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from layerscope.engine.statistics import kernel
from layerscope.engine.statistics.measure import dense
from layerscope.engine.statistics.ordinary import ORDINARY, all_ordinary
from layerscope.engine.statistics.packing import pack

__all__ = ["Answers", "Reader", "Words", "normal_of", "ordinary_table", "plain", "table_of"]

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


def normal_of(dtype: torch.dtype) -> int:
    """The index of its smallest normal number's exponent, counted from where it is read from."""
    return _NARROW[dtype] if dtype in _NARROW else _READ[dtype][2]


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

    def __init__(self, parts: Words, arena: Words, lowest: Words) -> None:
        self.parts = parts
        """Where each begins in the arena."""
        self.arena = arena
        self.lowest = lowest

    @staticmethod
    def packed(
        answers: Sequence[Answers], order: Words, starts: Words, shifts: Words
    ) -> tuple[bytes, NDArray[np.float64]]:
        """The bytes of one ``Statistics`` a group of tensors, and ``FIGURES`` of each.

        The k-th group are the tensors ``order[starts[k]:starts[k + 1]]``, counted through all
        ``answers``; its figures are divided by 2 to the power ``shifts[k]``.

        >>> reader = Reader()
        >>> x = torch.tensor([1.0, 2.0, 3.0])
        >>> one = np.array([0]), np.array([0, 1]), np.array([0])
        >>> data, figures = Answers.packed([reader.read([x])], *one)
        >>> from layerscope.engine.statistics import statistics
        >>> data == statistics(x).to_bytes()[1:]
        True
        """
        none = np.empty(0, np.int64)
        arena = np.concatenate([none, *(a.arena for a in answers)])
        begins = np.cumsum([0, *(a.arena.size for a in answers)])
        places = [a.parts + at for a, at in zip(answers, begins[:-1], strict=True)]
        parts = np.concatenate([none, *places])
        lowest = np.concatenate([none, *(a.lowest for a in answers)])
        buffer, figures = pack(arena, parts[order], lowest[order], starts, shifts)
        return buffer.tobytes(), figures


class Reader:
    """A thread's own memory for reading; not to be used by two at once."""

    def __init__(self) -> None:
        self._counters = np.zeros(kernel.CELLS32, np.uint32), np.zeros(kernel.CELLS64, np.uint32)
        self._arena = np.empty(0, np.int64)

    def read(
        self,
        tensors: Sequence[Tensor],
        snapshots: Sequence[Tensor | None] | None = None,
        subtracts: bool = False,
        table: Words | None = None,
    ) -> Answers:
        """Reads every tensor once, by one call without the interpreter's lock.

        Where a snapshot stands beside a tensor (float32 or float64, contiguous, of its size and
        of the dtype that ``plain`` gives it) it gets the tensor's numbers; if ``subtracts``, the
        answer is about the change against what it held.

        ``table`` is what ``ordinary_table`` said of these very arguments, where that is known.

        Errors: ``ValueError`` for a snapshot of another size or dtype, into which nothing is
        written.
        """
        known = ordinary_table(tensors, snapshots, subtracts) if table is None else table
        if known is None:
            known, _kept = table_of(tensors, snapshots, subtracts)
        table = known.copy()  # answers are written into it
        self.prepare(table)
        return self.answers(table, self.fill(table))

    def prepare(self, table: Words) -> None:
        """Has room for the answers about the tensors that a table tells of."""
        wide = table[:, 2].any()
        room = len(table) * (kernel.STATE + 2 * (kernel.SPAN64 if wide else kernel.SPAN32))
        if self._arena.size < room:
            self._arena = np.empty(room, np.int64)

    def fill(self, table: Words) -> int:
        """Reads them; the words it took. All that needs the interpreter's lock is done before."""
        return kernel.many(table, self._arena, *self._counters)

    def answers(self, table: Words, used: int) -> Answers:
        """What ``fill`` found."""
        lowest = np.where(table[:, 2] != 0, kernel.LOWEST64, kernel.LOWEST32)
        return Answers(table[:, 6], self._arena[:used].copy(), lowest)


def table_of(
    tensors: Sequence[Tensor],
    snapshots: Sequence[Tensor | None] | None = None,
    subtracts: bool = False,
) -> tuple[Words, list[Tensor]]:
    """What the kernel is told of any tensors, a row each, and what has to live until it has read:
    copies of those that it cannot read as they lie.

    Errors: ``ValueError`` for a snapshot that does not fit.
    """
    rows = array("q")
    kept: list[Tensor] = []
    for place, tensor in enumerate(tensors):
        form = _READ.get(tensor.dtype)
        normal = None
        if form is None or not _readable(tensor):
            normal = _NARROW.get(tensor.dtype)
            tensor = plain(tensor)
            kept.append(tensor)
            form = _READ[tensor.dtype]
        snapshot = snapshots[place] if snapshots is not None else None
        if snapshot is not None and not _fits(snapshot, tensor):
            raise ValueError(
                f"snapshot {place}: expected {tensor.numel()} numbers of {tensor.dtype}, "
                f"contiguous, got {snapshot.numel()} of {snapshot.dtype}"
            )
        rows.extend((
            tensor.data_ptr(), tensor.numel(), form[0], form[2] if normal is None else normal,
            0 if snapshot is None else snapshot.data_ptr(), subtracts, 0,
        ))  # fmt: skip
    return np.frombuffer(rows, np.int64).reshape(-1, 7), kept


def ordinary_table(
    tensors: Sequence[Tensor], snapshots: Sequence[Tensor | None] | None, subtracts: bool
) -> Words | None:
    """What the kernel is told of tensors that are all float32 and read as they lie, a row each;
    None where one is not, or a snapshot does not fit. It holds as long as they lie where they lay:
    whoever reads the same tensors again may keep it."""
    if not all_ordinary(tensors):
        return None
    table = np.zeros((len(tensors), 7), np.int64)
    sizes = list(map(_numel, tensors))
    table[:, 0] = list(map(_data_ptr, tensors))
    table[:, 1] = sizes
    table[:, 3] = _READ[torch.float32][2]
    if snapshots is None:
        return table
    places = [place for place, each in enumerate(snapshots) if each is not None]
    some = [each for each in snapshots if each is not None]
    if not all_ordinary(some) or list(map(_numel, some)) != [sizes[place] for place in places]:
        return None
    table[places, 4] = list(map(_data_ptr, some))
    table[:, 5] = subtracts
    return table


def _fits(snapshot: Tensor, tensor: Tensor) -> bool:
    return (
        snapshot.numel() == tensor.numel()
        and snapshot.dtype is tensor.dtype
        and snapshot.is_contiguous()
        and snapshot.is_cpu
    )


def _readable(tensor: Tensor) -> bool:
    return (
        tensor.layout is torch.strided
        and tensor.is_cpu
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and type(tensor) in ORDINARY
    )


_data_ptr, _numel = Tensor.data_ptr, Tensor.numel
