"""Fewer points: what must be among them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from layerscope.engine.store.sampling import kept

VALUES = arrays(np.float64, st.integers(1, 300), elements=st.floats(width=64))


@given(VALUES, st.integers(10, 60), st.data())
def test_no_extreme_and_nothing_odd_is_lost(values, points, data):
    numbers = np.array(sorted(data.draw(st.lists(
        st.integers(-(2**63), 2**63 - 1), min_size=len(values), max_size=len(values)
    ))), np.int64)  # fmt: skip
    marked = np.zeros(len(values), bool)
    if data.draw(st.booleans()):
        marked[data.draw(st.integers(0, len(values) - 1))] = True
    shown = kept(numbers, values, marked, points)
    assert 1 <= len(shown) <= points
    assert (np.diff(shown) > 0).all()
    assert {0, len(values) - 1} <= set(shown)
    finite = np.isfinite(values)
    if finite.any():
        assert values[finite].min() == values[shown][finite[shown]].min()
        assert values[finite].max() == values[shown][finite[shown]].max()
    odd = ~finite | marked
    assert odd.any() == odd[shown].any()
    if odd.any():  # where it began is what one looks for
        assert np.flatnonzero(odd)[0] == shown[odd[shown]][0]


def test_a_short_series_is_shown_whole():
    assert kept(np.arange(10), np.zeros(10), np.zeros(10, bool), 10).tolist() == list(range(10))
    with pytest.raises(ValueError, match="at least 10"):
        kept(np.arange(3), np.zeros(3), np.zeros(3, bool), 9)
