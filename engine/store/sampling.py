"""Fewer points of a long series that still show everything one would look for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST", "kept"]

FEWEST = 10
"""Points below which a series is no picture any more."""


def kept(
    numbers: NDArray[np.int64], values: NDArray[np.float64], marked: NDArray[np.bool_], points: int
) -> NDArray[np.int64]:
    """Which of a series' points to show, at most ``points``, as ascending indices.

    The first and the last are kept, and of each of equally wide ranges of ``numbers`` (ascending)
    the least and the greatest finite value, and the first and the last that is marked or not
    finite: no such point is lost but where its range shows others, before and after it.

    >>> import numpy as np
    >>> values = np.zeros(1000)
    >>> values[[300, 700]] = 9, np.nan
    >>> shown = kept(np.arange(1000), values, np.zeros(1000, bool), 40)
    >>> [i in shown for i in (0, 300, 700, 999)], len(shown) <= 40
    ([True, True, True, True], True)
    """
    if points < FEWEST:
        raise ValueError(f"expected at least {FEWEST} points, got {points}")
    if len(numbers) <= points:
        return np.arange(len(numbers))
    buckets = (points - 2) // 4
    low, high = int(numbers[0]), int(numbers[-1])
    # In unsigned integers, which wrap: a range of steps may be as wide as 64 bits.
    width = -(-(high - low + 1) // buckets)
    bucket = (numbers.view(np.uint64) - np.uint64(low % 2**64)) // np.uint64(width)
    finite = np.isfinite(values)
    chosen = [np.array([0, len(numbers) - 1])]
    for usable, order in ((finite, values), (~finite | marked, np.arange(len(numbers)))):
        index = np.flatnonzero(usable)
        ordered = index[np.lexsort((order[index], bucket[index]))]
        chosen += _ends(ordered, bucket[ordered])
    return np.unique(np.concatenate(chosen))


def _ends(ordered: NDArray[np.int64], bucket: NDArray[Any]) -> list[NDArray[np.int64]]:
    """The first and the last index of every bucket."""
    if not len(ordered):
        return []
    starts = np.flatnonzero(np.append(True, bucket[1:] != bucket[:-1]))
    stops = np.append(starts[1:], len(ordered)) - 1
    return [ordered[starts], ordered[stops]]
