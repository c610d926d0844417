"""Views that mix axes up, and the many that do not."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import pytest

from layerscope.engine.probe.graph.rearranged import mixes


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((12, 64, 24), (64, 12, 24)),  # time and batch
        ((8, 16, 24), (16, 8, 24)),  # the same, of sizes that divide each other
        ((12, 64, 4), (64, 48)),  # flattened with time first
        ((2, 64, 16), (64, 32)),  # the last states of both directions
        ((8, 32, 7, 7), (8, 49, 32)),  # channels and pixels
        ((8, 32, 8, 8), (8, 64, 32)),
        ((8, 16, 32), (8, 32, 16)),
        ((8, 12, 16), (8, 4, 12, 4)),  # heads
        ((16, 4, 10, 8), (16, 10, 32)),  # heads joined again
        ((1, 3, 5), (1, 5, 3)),  # one sample
    ],
)
def test_axes_that_come_out_exchanged_are_mixed(before, after):
    assert mixes(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((8, 10, 32), (80, 32)),
        ((80, 32), (8, 10, 32)),
        ((8, 10, 32), (8, 10, 4, 8)),
        ((8, 10, 4, 8), (8, 10, 32)),
        ((64, 3, 32, 32), (64, 3, 4, 8, 4, 8)),  # patches
        ((64, 4, 4, 48), (64, 16, 48)),
        ((4, 16, 24), (2, 2, 16, 24)),  # layers and directions of a state
        ((64, 100), (64, 10, 10)),
        ((8, 20, 6), (8, 10, 12)),  # two moments at a time
        ((8, 32, 8, 8), (8, 8, 256)),  # as many groups of channels as rows
        ((64, 1, 8, 8), (64, 64)),
        ((5, 1), (5,)),
        ((6, 4), (24,)),
        ((0, 3), (3, 0)),
        ((3, 4), (5, 6)),  # no view at all
        ((), (1,)),
    ],
)
def test_cutting_and_joining_mixes_nothing(before, after):
    assert not mixes(before, after)


def test_joining_neighbours_and_cutting_them_again_never_mixes():
    """Over all ways to join the axes of a tensor of four."""
    sizes = (6, 5, 4, 7)
    for many in range(4):
        for cuts in combinations(range(1, 4), many):
            ends = [0, *cuts, 4]
            joined = tuple(math.prod(sizes[a:b]) for a, b in pairwise(ends))
            assert not mixes(sizes, joined)
            assert not mixes(joined, sizes)
