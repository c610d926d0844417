"""A tensor pooled to a picture, with every extreme, NaN and Inf kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

__all__ = ["HEATMAP_SIDE", "heatmap"]

HEATMAP_SIDE = 128  # cells: more would be smaller than a pixel on most pages
DIGITS = 6  # significant digits of a pooled value: more than a colour can show

Floats = npt.NDArray[np.float64]


def heatmap(tensor: Tensor, side: int = HEATMAP_SIDE) -> dict[str, Any]:
    """``tensor`` pooled to at most ``side`` × ``side`` cells, the extreme of each kept.

    A cell of ``values``, by row, holds the finite entry of largest magnitude of a tensor (n,) or
    (rows, columns), with its sign and to 6 significant digits, or None where none is finite; the
    largest of all is ``limit``. Cells with ``nan``, ``posinf`` or ``neginf`` are listed besides, as
    [row, column, count], so that none hides behind a finite neighbour.

    >>> import torch
    >>> heatmap(torch.tensor([[1.0, float("nan")]]))["nan"]
    [[0, 1, 1]]
    """
    x = np.atleast_2d(tensor.detach().double().numpy())  # (rows, columns)
    rows, columns = min(side, x.shape[0]), min(side, x.shape[1])
    high = _pool(np.where(np.isfinite(x), x, -np.inf), rows, columns, np.maximum)
    low = _pool(np.where(np.isfinite(x), x, np.inf), rows, columns, np.minimum)
    extreme = _significant(np.where(high >= -low, high, low))
    some = np.isfinite(high)
    values = [
        [v if ok else None for v, ok in zip(line, oks, strict=True)]
        for line, oks in zip(extreme.tolist(), some.tolist(), strict=True)
    ]
    pooled = (rows, columns) != x.shape
    return {
        "shape": list(tensor.shape),
        "rows": rows,
        "columns": columns,
        "pooling": (
            f"{x.shape[0]}×{x.shape[1]} entries in {rows}×{columns} cells, each showing its finite "
            "entry of largest magnitude"
            if pooled
            else "none: one cell an entry"
        ),
        "limit": float(np.abs(extreme[some]).max()) if some.any() else None,
        "values": values,
        "nan": _counts(np.isnan(x), rows, columns),
        "posinf": _counts(x == np.inf, rows, columns),
        "neginf": _counts(x == -np.inf, rows, columns),
    }


def _pool(x: npt.NDArray[Any], rows: int, columns: int, reduce: np.ufunc) -> Any:
    """``reduce`` over (nearly) equal blocks, (rows, columns) of them."""
    if 0 in x.shape:
        return np.zeros((rows, columns))
    by_row = reduce.reduceat(x, np.arange(rows) * x.shape[0] // rows, axis=0)
    return reduce.reduceat(by_row, np.arange(columns) * x.shape[1] // columns, axis=1)


def _significant(x: Floats) -> Floats:
    """``x`` to ``DIGITS`` significant digits; as it is where that would under- or overflow."""
    with np.errstate(all="ignore"):
        scale = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.abs(x))))
        rounded = np.round(x * scale) / scale
    return np.where(np.isfinite(rounded), rounded, x)


def _counts(mask: npt.NDArray[np.bool_], rows: int, columns: int) -> list[list[int]]:
    if not mask.any():
        return []
    counts = _pool(mask.astype(np.int64), rows, columns, np.add)
    at = np.argwhere(counts)
    return [[int(r), int(c), int(counts[r, c])] for r, c in at]
