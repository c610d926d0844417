"""What a layer's units do over a batch: which are dead, and how alike the samples have become."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from layerscope.engine.basis.serial import Serial
from layerscope.engine.statistics.compilation import fast_kernel, kernel, pointer
from layerscope.engine.statistics.ordinary import all_ordinary

__all__ = ["Mask", "Units", "UnitsReading", "as_rows", "units", "units_of_many"]

Mask = NDArray[np.bool_]

SAFE = 1e-250, 1e250
"""Bounds of a sum of squares that has lost nothing to float64's range."""


class Units(Serial, gc=False):
    """The units and the samples of one activation, ``batch`` samples of ``width`` units.

    ``dead`` units are zero for every sample, at every position of it. ``constant`` ones, the dead
    among them, have one value for all (NaN equals nothing); with one sample that is every unit.
    ``sample_correlation`` is the mean cosine over all pairs of distinct samples, from −1 to 1 (all
    on one ray), of those that are finite and not zero; None with fewer than two of these.
    """

    batch: int
    width: int
    dead: int
    constant: int
    sample_correlation: float | None


def units(activation: Tensor, axis: int = 1) -> Units:
    """Dead and constant units, and how similar the samples are, in one pass over (batch, width).

    With x̂ the rows divided by their length, the mean of x̂_i · x̂_j over the pairs i ≠ j is
    (‖Σ_i x̂_i‖² − n) / (n(n − 1)), which needs no pair to be formed.

    The tensor may also be (batch, channels, *spatial) or (batch, tokens, features), with its units
    along ``axis``; a sample is compared with another as a whole.

    Errors: ``ValueError`` unless there are two axes or more and ``axis`` is one of them but the
    first; ``TypeError`` unless the tensor holds floats.

    >>> units(torch.tensor([[3.0, 0.0, 0.0], [4.0, 0.0, 0.0]]))
    Units(batch=2, width=3, dead=2, constant=2, sample_correlation=1.0)
    """
    rank, shape = activation.dim(), tuple(activation.shape)
    if rank < 2:
        raise ValueError(f"expected a (batch, width, ...) tensor, got shape {shape}")
    if not (0 < axis < rank or -rank < axis < 0):
        raise ValueError(f"expected a unit axis of {shape} other than the samples', got {axis}")
    if rank == 2:
        dead, constant, correlation = _in_one_pass(activation)
    else:
        dead, constant, _ = _in_one_pass(activation.movedim(axis, -1).flatten(0, -2))
        _, _, correlation = _in_one_pass(activation.flatten(1))
    known = None if math.isnan(correlation) else correlation
    return Units(shape[0], shape[axis], dead, constant, known)


def units_of_many(
    activations: Sequence[tuple[Tensor, int | None]],
) -> list[tuple[Units | None, Mask | None]]:
    """Of each what ``units`` says along its axis, and which units are dead, (width,); None for
    both where there is no axis, and for the second where none is dead.

    (batch, width) tensors of float32 are read by one call without the interpreter's lock.

    Errors: as ``units``.

    >>> [(found, dead)] = units_of_many([(torch.tensor([[3.0, 0.0], [4.0, 0.0]]), 1)])
    >>> found.dead, dead.tolist()
    (1, [False, True])
    """
    found: list[tuple[Units | None, Mask | None]] = [(None, None)] * len(activations)
    asked = [(place, t, axis) for place, (t, axis) in enumerate(activations) if axis is not None]
    flat = [(place, t) for place, t, axis in asked if t.dim() == 2 and axis in (1, -1)]
    if not all_ordinary([t for _, t in flat]):
        flat = [(place, t) for place, t in flat if all_ordinary([t])]
    quick = {place for place, _ in flat}
    for place, activation, axis in asked:
        if place in quick:
            continue
        seen = units(activation, axis)
        found[place] = seen, _dead(activation, axis) if seen.dead else None
    if not quick:
        return found
    reading = UnitsReading([activations[place][0] for place in quick])
    reading.read()
    for place, told in zip(quick, reading.told(), strict=True):
        found[place] = told
    return found


class UnitsReading:
    """What `units_of_many` asks of some (batch, width) tensors that compiled code may read as they
    lie, in three steps: only ``read``, which any thread may do, takes long."""

    def __init__(self, activations: Sequence[Tensor]) -> None:
        self._activations = activations
        self._sizes = [tuple(each.shape) for each in activations]
        self._ends = list(accumulate((width for _, width in self._sizes), initial=0))
        rows = zip(activations, self._sizes, self._ends, strict=False)
        table = array("q")
        for tensor, size, begin in rows:
            table.extend((tensor.data_ptr(), *size, begin))
        self._table = np.frombuffer(table, np.int64).reshape(-1, 4)
        self._answers = np.empty((len(activations), 3))
        self._marks = np.empty(self._ends[-1], np.bool_)

    def read(self) -> None:
        """Without the interpreter's lock."""
        _many_units(self._table, self._answers, self._marks)

    def told(self) -> list[tuple[Units, Mask | None]]:
        """Of each its units, and which are dead where some are."""
        found: list[tuple[Units, Mask | None]] = []
        rows = zip(self._sizes, self._answers.tolist(), pairwise(self._ends), strict=True)
        for (batch, width), (dead, constant, correlation), (begin, end) in rows:
            known = None if math.isnan(correlation) else correlation
            seen = Units(batch, width, int(dead), int(constant), known)
            found.append((seen, self._marks[begin:end] if dead else None))
        return found


def _dead(activation: Tensor, axis: int) -> Mask:
    """Which units are zero for every sample, (units,)."""
    rows = as_rows(activation.movedim(axis, -1).flatten(0, -2)).numpy()
    active: Mask = np.logical_or.reduce(rows, axis=0)
    return ~active


def _in_one_pass(matrix: Tensor) -> tuple[int, int, float]:
    x = as_rows(matrix)
    run = _units64 if x.dtype == torch.float64 else _units32
    return run(x.data_ptr(), x.shape[0], x.shape[1])


def as_rows(matrix: Tensor) -> Tensor:
    """``matrix`` in the CPU's memory, row after row, as float32 or float64, which is exact."""
    if not matrix.dtype.is_floating_point:
        raise TypeError(f"expected a tensor of floats, got dtype {matrix.dtype}")
    matrix = matrix.detach()
    if matrix.dtype.itemsize < 4:
        matrix = matrix.float()
    return matrix.cpu().resolve_neg().contiguous()


@fast_kernel
def _squares(row: Any, scale: float) -> float:
    total = 0.0
    for j in range(row.size):
        value = np.float64(row[j]) * scale
        total += value * value
    return total


@kernel
def _length(row: Any) -> tuple[float, float]:
    """A power of two and the length of the row times it; length 0 unless finite and not zero."""
    total = _squares(row, 1.0)
    if SAFE[0] < total < SAFE[1]:
        return 1.0, math.sqrt(total)
    largest = 0.0
    for j in range(row.size):
        size = abs(np.float64(row[j]))
        if not size < np.inf:
            return 1.0, 0.0
        largest = max(largest, size)
    if largest == 0.0:
        return 1.0, 0.0
    scale = math.ldexp(1.0, min(max(-math.frexp(largest)[1], -1000), 1000))
    return scale, math.sqrt(_squares(row, scale))


@kernel
def _mark_varied(row: Any, first: Any, varied: Any) -> None:
    for j in range(row.size):
        varied[j] |= row[j] != first[j]


@kernel
def _add_direction(row: Any, scale: float, inverse: float, directions: Any) -> None:
    for j in range(row.size):
        directions[j] += np.float64(row[j]) * scale * inverse


@kernel
def _units(x: Any, marks: Any) -> tuple[int, int, float]:
    """``marks`` (width,), become those of dead units."""
    batch, width = x.shape
    varied = np.zeros(width, np.uint8)
    directions, n = np.zeros(width, np.float64), 0
    for i in range(batch):
        _mark_varied(x[i], x[0], varied)
        scale, length = _length(x[i])
        if length > 0.0:
            n += 1
            _add_direction(x[i], scale, 1.0 / length, directions)
    dead = constant = 0
    for j in range(width if batch else 0):
        same = 1 - varied[j]
        constant += same
        marks[j] = same and x[0, j] == 0  # a dead unit is a constant one whose constant is 0
        dead += marks[j]
    if n < 2:
        return dead, constant, np.nan
    correlation = (_squares(directions, 1.0) - n) / (n * (n - 1.0))
    return dead, constant, min(max(correlation, -1.0), 1.0)


@kernel
def _units32(address: int, batch: int, width: int) -> tuple[int, int, float]:
    x = numba.carray(pointer(address), (batch, width), np.float32)
    return _units(x, np.empty(width, np.bool_))


@kernel
def _units64(address: int, batch: int, width: int) -> tuple[int, int, float]:
    x = numba.carray(pointer(address), (batch, width), np.float64)
    return _units(x, np.empty(width, np.bool_))


@kernel
def _many_units(table: Any, answers: Any, marks: Any) -> None:
    """A row of ``table`` is (address, batch, width, where its marks begin); of ``answers`` (dead,
    constant, correlation)."""
    for row in range(table.shape[0]):
        batch, width, at = table[row, 1], table[row, 2], table[row, 3]
        x = numba.carray(pointer(table[row, 0]), (batch, width), np.float32)
        dead, constant, correlation = _units(x, marks[at : at + width])
        answers[row, 0], answers[row, 1], answers[row, 2] = dead, constant, correlation
