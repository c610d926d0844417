"""The median, without the standard library's module of statistics: a user's script may have one of
its name beside it, which would be loaded instead."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["median"]


def median(values: Iterable[float]) -> float:
    """Of at least one value.

    >>> median([3, 1, 2]), median([1, 2])
    (2, 1.5)
    """
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
