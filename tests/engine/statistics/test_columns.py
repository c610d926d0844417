"""Distinct columns, against a comparison of all pairs."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor

from layerscope.engine.statistics import distinct_columns

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
nan, inf = math.nan, math.inf


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@given(
    columns=st.lists(
        st.lists(
            st.sampled_from([0.0, -0.0, 1.0, 2.0, -4.0, inf, -inf, nan]), min_size=3, max_size=3
        ),
        max_size=30,
    )
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_columns_of_few_values(dtype: torch.dtype, columns: list[list[float]]) -> None:
    want = {("nan",) if any(map(math.isnan, c)) else tuple(v + 0.0 for v in c) for c in columns}
    weight = torch.tensor(columns, dtype=dtype).reshape(-1, 3).t()
    assert distinct_columns(weight) == len(want)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e4])
def test_random_columns_are_all_distinct(dtype: torch.dtype, scale: float) -> None:
    assert distinct_columns((normal(100, 120) * scale).to(dtype)) == 120


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_copies_are_found_wherever_they_are(dtype: torch.dtype) -> None:
    weight = normal(50, 7)[:, torch.arange(60) % 7].to(dtype)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    assert distinct_columns(weight[:, order]) == 7


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_up_to_rounding(dtype: torch.dtype) -> None:
    tolerance = max(1e-6, 8 * torch.finfo(dtype).eps)
    weight = normal(64, 1).double().expand(64, 40)
    size = weight.abs().max()
    jitter = torch.rand(64, 40, generator=torch.Generator().manual_seed(2)).double() - 0.5
    near = weight + 0.5 * tolerance * size * jitter
    far = near.clone()
    far[torch.arange(40), torch.arange(40)] += (8 * tolerance * size).item()
    if dtype in (torch.float32, torch.float64):
        assert distinct_columns(near.to(dtype)) == 1
    assert distinct_columns(far.to(dtype)) == 40


def test_a_single_entry_tells_columns_apart() -> None:
    weight = torch.ones(100, 100)
    weight[99, 42] = 1.001
    assert distinct_columns(weight) == 2


@pytest.mark.parametrize("value", [0.0, 1.0, nan, inf, 1e-45])
def test_constant_weights_have_one_column(value: float) -> None:
    assert distinct_columns(torch.full((10, 20), value)) == 1


def test_extremes_of_float64() -> None:
    one = torch.tensor([1e308, -1e308, 1e308], dtype=torch.float64)
    weight = torch.stack([one, -one, one, one / 2, one * 5e-324, one * 0], dim=1)
    assert distinct_columns(weight) == 5


def test_views() -> None:
    weight = normal(30, 30)
    weight[:, 4] = weight[:, 8]
    assert distinct_columns(weight) == 29
    assert distinct_columns(weight.t().contiguous().t()) == 29
    assert distinct_columns(weight.requires_grad_() * 1) == 29
    assert distinct_columns(weight[:, :5]) == 5


@pytest.mark.parametrize(("shape", "want"), [((0, 3), 1), ((3, 0), 0), ((0, 0), 0), ((1, 1), 1)])
def test_shapes_at_the_edge(shape: tuple[int, int], want: int) -> None:
    assert distinct_columns(torch.ones(shape)) == want


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"\(n_in, n_out\) tensor, got shape \(3,\)"):
        distinct_columns(torch.zeros(3))
    with pytest.raises(TypeError, match=r"tensor of floats, got dtype torch\.int32"):
        distinct_columns(torch.zeros(3, 3, dtype=torch.int32))
