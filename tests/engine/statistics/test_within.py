"""Entries in intervals, beside what torch counts."""

import math

import pytest
import torch

from layerscope.engine.statistics.within import within

FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("rows", [1, 16, 40])
def test_counts_are_torchs(dtype, rows):
    x = torch.randn(40, 7).to(dtype)
    x[3, 2], x[5, 1], x[0, 0] = math.nan, math.inf, -math.inf
    few = x[:rows].double()
    expected = int(((few <= -0.5) | ((few >= 0.25) & (few <= 1))).sum())
    known = int((~few.isnan()).sum())
    assert within(x, ((None, -0.5), (0.25, 1.0)), rows) == (expected, known)


def test_any_layout_and_none_of_anything():
    x = torch.randn(9, 5)
    few = x.t()[:2]
    assert within(x.t(), ((0.0, None),), 2) == (int((few >= 0).sum()), few.numel())
    assert within(x.view(9, 5, 1), ((0.0, None),), 2)[0] == int((x[:2] >= 0).sum())
    assert within(torch.tensor([[math.nan, 2.0]]), (), 1) == (0, 1)
    assert within(torch.empty(0, 3), ((None, 0.0),), 16) == (0, 0)
    assert within(torch.empty(3, 0), ((None, 0.0),), 2) == (0, 0)


def test_bounds_are_part_of_the_interval():
    x = torch.tensor([[0.0, -0.0, 1.0]])
    assert within(x, ((0.0, 1.0),), 1) == (3, 3)
    assert within(x, ((None, 0.0),), 1) == (2, 3)
