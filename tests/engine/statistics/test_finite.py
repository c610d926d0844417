from __future__ import annotations

import math

import pytest
import torch

from layerscope.engine.statistics.finite import nonfinite_places


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 4095, 4096, 9999])
def test_one_bad_entry_is_found_wherever_it_is(dtype, value, place):
    good, bad = torch.randn(10_000).to(dtype), torch.randn(10_000).to(dtype)
    bad[place] = value
    assert nonfinite_places([good, bad, good, bad]) == [1, 3]


def test_the_largest_and_the_smallest_numbers_are_finite():
    info = torch.finfo(torch.float32)
    assert nonfinite_places([torch.tensor([info.max, info.min, info.tiny, 1e-45, -0.0])]) == []


def test_any_layout():
    x = torch.randn(6, 4)
    x[2, 3] = math.nan
    sparse = torch.sparse_coo_tensor([[1]], [math.inf], (9,), check_invariants=True)
    assert nonfinite_places([x.t(), x[:, ::2], x[0].expand(3, 4), x[2].expand(3, 4), sparse]) == [
        0, 3, 4,
    ]  # fmt: skip
    assert nonfinite_places([]) == []
    assert nonfinite_places([torch.zeros(0), torch.arange(3), torch.tensor([1j * math.nan])]) == [2]
