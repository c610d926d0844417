"""Views that mix axes up: numbers taken in their order for a tensor of other axes, where these
should have been exchanged."""

from __future__ import annotations

import math
from itertools import accumulate, permutations
from operator import mul

__all__ = ["mixes"]

Shape = tuple[int, ...]

MOST_AXES = 6
"""Of a part in another order; there are 720 orders of them."""


def mixes(before: Shape, after: Shape) -> bool:
    """Whether a view of one shape as another takes numbers of an axis for those of another one.

    Cutting an axis in parts and joining neighbours is what views are for. It mixes where axes come
    out in another order, and where a cut goes through an axis that has no such parts.

    >>> mixes((7, 4, 5), (4, 7, 5)), mixes((7, 4, 5), (28, 5)), mixes((8, 6), (8, 2, 3))
    (True, False, False)
    >>> mixes((8, 16, 6), (8, 2, 16, 3)), mixes((2, 8, 5), (8, 10)), mixes((8, 10), (8, 5, 2))
    (True, True, False)
    """
    # The axis of samples stays, also where there is one sample.
    a, b = ((*each[:1], *(n for n in each[1:] if n != 1)) for each in (before, after))
    if a == b or math.prod(a) != math.prod(b) or 0 in a:
        return False
    parts = _common(a, b)
    return any(_mixed(x, y, first=not number) for number, (x, y) in enumerate(parts))


def _common(a: Shape, b: Shape) -> list[tuple[Shape, Shape]]:
    """Both shapes in parts of equal size, each as small as can be."""
    ends_a, ends_b = list(accumulate(a, mul)), list(accumulate(b, mul))
    found, i, j = [], 0, 0
    for end in sorted(set(ends_a) & set(ends_b)):
        until_a, until_b = ends_a.index(end) + 1, ends_b.index(end) + 1
        found.append((a[i:until_a], b[j:until_b]))
        i, j = until_a, until_b
    return found


def _mixed(a: Shape, b: Shape, *, first: bool) -> bool:
    """Of a part that has no smaller ones; ``first``: it holds the axis of samples."""
    if min(len(a), len(b)) < 2:
        return False
    # Channels in groups, each with its pixels, are told from this by nothing where there are as
    # many groups as rows.
    groups = not first and len(b) == 2 < len(a) and b[0] in a
    exchanged = not groups and (_joined(a, b) or _joined(b, a))
    return exchanged or (bool(set(a) & set(b)) and _cuts_through(a, b))


def _joined(a: Shape, b: Shape) -> bool:
    """Whether ``b`` is made of the axes of ``a`` in another order, neighbours joined."""
    if not len(b) <= len(a) <= MOST_AXES:
        return False
    ends = set(accumulate(b, mul))
    return any(ends <= set(accumulate(order, mul)) for order in permutations(a))


def _cuts_through(a: Shape, b: Shape) -> bool:
    """Whether a boundary of ``b`` falls where an axis of ``a`` has no whole parts."""
    ends = [1, *accumulate(a, mul)]
    for cut in list(accumulate(b, mul))[:-1]:
        low = max(e for e in ends if e <= cut)
        high = min(e for e in ends if e > cut)
        if cut % low or high % cut:
            return True
    return False
