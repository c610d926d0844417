"""The line beside that of scipy.stats."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from layerscope.engine.basis.line import line_through

NUMBERS = st.floats(-1e6, 1e6).map(lambda y: round(y, 6))  # no variance is below any float
POINTS = st.lists(st.tuples(st.integers(0, 100), NUMBERS), min_size=3, max_size=12)


@given(POINTS)
def test_it_is_that_of_scipy(points):
    x, y = zip(*points, strict=True)
    assume(len(set(x)) > 1)
    theirs, ours = stats.linregress(x, y), line_through(x, y)
    # NaN: all at one height
    error = 0.0 if math.isnan(theirs.stderr) else theirs.stderr
    size = 1e-9 * max(1.0, *map(abs, y))
    assert ours.slope == pytest.approx(theirs.slope, rel=1e-9, abs=size)
    assert ours.at_zero == pytest.approx(theirs.intercept, rel=1e-9, abs=100 * size)
    # scipy's is of 1 − r², of which little is left where all lie on the line
    assert ours.slope_error == pytest.approx(error, rel=1e-6, abs=1000 * size)


def test_points_at_one_height_have_no_scatter():
    assert line_through([1, 2, 3], [5.0, 5.0, 5.0]).slope_error == 0.0


def test_two_points_tell_nothing_of_their_scatter():
    line = line_through([1, 3], [2.0, 6.0])
    assert (line.slope, line.at_zero) == pytest.approx((2.0, 0.0), abs=1e-12)
    assert line.slope_error == math.inf


@pytest.mark.parametrize("x", [[], [1], [2, 2, 2]])
def test_one_place_is_refused(x):
    with pytest.raises(ValueError, match=f"at {len(set(x))} places; expected two or more"):
        line_through(x, [0.0] * len(x))
