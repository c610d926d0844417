from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscope.app.foundations.readers import number, numbers


@pytest.mark.parametrize("text", ["nan", "inf", "1_000", "0x10", "1e999", "", "٣", "1,2", "1e400"])
def test_a_number_is_a_finite_decimal(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number"):
        number(-10, 10)(text)


def test_readers_name_the_bounds() -> None:
    with pytest.raises(ValueError, match=r"^number 2, 'x': expected a number"):
        numbers(-1, 1, 5)("1, x")
    with pytest.raises(ValueError, match=r"^3 numbers; expected at most 2$"):
        numbers(-1, 1, 2)("1 1 1")


@pytest.mark.parametrize("text", ["1, 2,-3", "[1, 2, -3]", "1 2 -3", " 1,2,\u22123, "])
def test_numbers_are_read_in_every_usual_form(text: str) -> None:
    assert numbers(-5, 5, 3)(text) == [1, 2, -3]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_numbers_written_by_python_are_read_back(values: list[float]) -> None:
    read = numbers(-math.inf, math.inf, 20)
    assert read(str(values)) == values
