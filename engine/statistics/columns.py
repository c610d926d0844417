"""How many units of a layer differ at all: distinct columns of its weight."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from layerscope.engine.statistics.activity import as_rows
from layerscope.engine.statistics.compilation import fast_kernel, kernel, pointer

__all__ = ["distinct_columns"]


def distinct_columns(weight: Tensor) -> int:
    """Number of distinct columns of a weight (n_in, n_out), up to rounding.

    Two columns are one when no entries differ by more than max(1e-6, 8 ε) of the columns' largest
    magnitude, ε being the dtype's rounding unit; columns that hold a NaN are one too. A layer whose
    columns are all alike computes one unit n_out times, and its gradients keep it so.

    Columns are sorted by their projection on a fixed pseudorandom direction, and compared entry by
    entry only where the projections are too close to tell them apart.

    Errors: ``ValueError`` unless the tensor has two axes; ``TypeError`` unless it holds floats.

    >>> distinct_columns(torch.tensor([[1.0, 2.0, 1.0], [3.0, 4.0, 3.0]]))
    2
    """
    if weight.dim() != 2:
        raise ValueError(f"expected an (n_in, n_out) tensor, got shape {tuple(weight.shape)}")
    w = as_rows(weight)
    tolerance = max(1e-6, 8 * torch.finfo(weight.dtype).eps)
    n_in, n_out = w.shape
    project, count = (_project64, _count64) if w.dtype == torch.float64 else (_project32, _count32)
    columns = np.zeros((3, n_out))
    project(w.data_ptr(), n_in, n_out, columns)
    return int(count(w.data_ptr(), n_in, n_out, columns, columns[0].argsort(), tolerance))


@fast_kernel
def _add_row(row: Any, factor: float, projection: Any, size: Any, unknown: Any) -> None:
    """Add finite entries to the columns' projections; keep largest magnitudes; mark NaN."""
    for j in range(row.size):
        value = np.float64(row[j])
        magnitude = abs(value)
        finite = magnitude < np.inf
        projection[j] += value * factor if finite else 0.0
        size[j] = max(size[j], magnitude if finite else 0.0)
        unknown[j] = 1.0 if value != value else unknown[j]


@kernel
def _project(w: Any, columns: Any) -> None:
    state = np.uint64(0)
    for i in range(w.shape[0]):
        # Weyl's sequence of the golden ratio, mixed as in Steele, Lea & Flood 2014 (SplitMix64).
        state += np.uint64(0x9E3779B97F4A7C15)
        mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        factor = np.float64(mixed >> np.uint64(11)) / 2.0**52 - 1.0
        # Within ±1/n_in, so that no projection is larger than the column's largest entry.
        _add_row(w[i], factor / w.shape[0], columns[0], columns[1], columns[2])


@kernel
def _alike(w: Any, a: int, b: int, limit: float) -> bool:
    for i in range(w.shape[0]):
        one, other = np.float64(w[i, a]), np.float64(w[i, b])
        if not (one == other or abs(one - other) <= limit):
            return False
    return True


@kernel
def _count(w: Any, columns: Any, order: Any, tolerance: float) -> int:
    projection, size, unknown = columns[0], columns[1], columns[2]
    kept, distinct, nan = np.empty(order.size, np.int64), 0, 0
    for column in order:
        if unknown[column]:
            nan = 1
            continue
        known, k = False, distinct - 1
        while k >= 0 and not known:
            limit = tolerance * max(size[column], size[kept[k]])
            # Projections of columns alike differ by less than ``limit``; twice that, for rounding.
            if projection[column] - projection[kept[k]] > 2.0 * limit:
                break
            known = _alike(w, column, kept[k], limit)
            k -= 1
        if not known:
            kept[distinct] = column
            distinct += 1
    return distinct + nan


@kernel
def _project32(address: int, n_in: int, n_out: int, columns: Any) -> None:
    _project(numba.carray(pointer(address), (n_in, n_out), np.float32), columns)


@kernel
def _project64(address: int, n_in: int, n_out: int, columns: Any) -> None:
    _project(numba.carray(pointer(address), (n_in, n_out), np.float64), columns)


@kernel
def _count32(
    address: int, n_in: int, n_out: int, columns: Any, order: Any, tolerance: float
) -> int:
    w = numba.carray(pointer(address), (n_in, n_out), np.float32)
    return _count(w, columns, order, tolerance)


@kernel
def _count64(
    address: int, n_in: int, n_out: int, columns: Any, order: Any, tolerance: float
) -> int:
    w = numba.carray(pointer(address), (n_in, n_out), np.float64)
    return _count(w, columns, order, tolerance)
