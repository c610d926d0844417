"""Merging what is known of parts, and the form of the answer."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from layerscope.engine.statistics import Histogram, Statistics, statistics

FIELDS = ["count", "finite", "mean", "std", "rms", "min", "max", "zeros", "subnormal"]
FIELDS += ["nan", "posinf", "neginf", "histogram"]


def assert_merged(got: Statistics, whole: Statistics) -> None:
    for name in Statistics.__struct_fields__:
        one, other = getattr(got, name), getattr(whole, name)
        if name not in ("mean", "std", "rms") or other is None:
            assert one == other, name
        else:
            scale = whole.rms if name == "mean" else other
            assert abs(one - other) <= 1e-12 * scale + 1e-323, name


SPECIAL = st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1e308, -1e308, 1e-300])


@given(
    values=st.lists(st.one_of(st.floats(-1e3, 1e3), SPECIAL), max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=3),
)
@hypothesis_settings(max_examples=150, deadline=None)
def test_parts_merged_are_the_whole(values: list[float], cuts: list[int]) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    bounds = [0, *sorted(min(c, len(values)) for c in cuts), len(values)]
    parts = [statistics(x[a:b]) for a, b in pairwise(bounds)]
    forwards, backwards = parts[0], parts[-1]
    for part in parts[1:]:
        forwards = Statistics.merge(forwards, part)
    for part in parts[-2::-1]:
        backwards = Statistics.merge(part, backwards)
    assert_merged(forwards, statistics(x))
    assert_merged(backwards, statistics(x))


@pytest.mark.parametrize("scale", [1.0, 2.0**-130, 2.0**100])
def test_batches_merged(scale: float) -> None:
    x = torch.randn(64, 1000, generator=torch.Generator().manual_seed(0)) * scale
    merged = statistics(x[0])
    for row in x[1:]:
        merged = Statistics.merge(merged, statistics(row))
    assert_merged(merged, statistics(x))


def test_merging_keeps_a_std_far_from_the_mean() -> None:
    x = torch.randn(2, 5000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1e7
    merged = Statistics.merge(statistics(x[0]), statistics(x[1]))
    assert merged.std == pytest.approx(statistics(x).std, rel=1e-10)


def test_merging_a_std_that_does_not_fit() -> None:
    largest = torch.finfo(torch.float64).max
    a = torch.tensor([largest, -largest], dtype=torch.float64)
    b = torch.ones(100, dtype=torch.float64)
    assert statistics(a).std is None
    merged = Statistics.merge(statistics(a), statistics(b))
    assert merged.std == pytest.approx(statistics(torch.cat([a, b])).std, rel=1e-12)


def test_the_form_of_the_answer() -> None:
    answer = statistics(torch.tensor([1.0, -4.0, 5.0, 0.0, math.inf])).to_dict()
    assert list(answer) == FIELDS
    assert answer["histogram"] == {
        "exponents": [0, 1, 2],
        "positive": [1, 0, 1],
        "negative": [0, 0, 1],
    }
    assert all(type(value) in (int, float, dict) for value in answer.values())
    json.dumps(answer, allow_nan=False)


def test_of_nothing_there_is_nothing() -> None:
    answer = statistics(torch.tensor([])).to_dict()
    assert [k for k, v in answer.items() if v is None] == ["mean", "std", "rms", "min", "max"]
    assert answer["histogram"] == {"exponents": [], "positive": [], "negative": []}


def test_a_value() -> None:
    x = torch.randn(100, generator=torch.Generator().manual_seed(0))
    s = statistics(x)
    assert s == statistics(x.clone())
    assert s != statistics(-x)
    with pytest.raises(AttributeError):
        s.median = 0.0
    statistics(x * 100)  # the answer must not live in memory that the next call uses
    assert s == statistics(x)


def test_histogram() -> None:
    a = Histogram(-2, np.array([1, 2]), np.array([0, 1]))
    b = Histogram(1, np.array([5]), np.array([7]))
    merged = Histogram.merge(b, a)
    assert merged == Histogram.merge(a, b)
    assert merged.to_dict() == {
        "exponents": [-2, -1, 0, 1],
        "positive": [1, 2, 0, 5],
        "negative": [0, 1, 0, 7],
    }
    assert merged.total == 16
    assert merged.exponents == range(-2, 2)
    assert a != "a"
