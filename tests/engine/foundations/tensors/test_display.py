"""The JSON convention: nothing non-finite, and a text wherever a number may be."""

import json
import math
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscope.engine.foundations import record
from layerscope.engine.foundations.errors import LimitError
from layerscope.engine.foundations.record import Record, join_terms, json_number, value_text
from layerscope.engine.foundations.tensors.display import check_cells, display_tensor


@dataclass(frozen=True)
class Example(Record):
    number: float
    series: tuple[float, ...]
    count: int
    hidden: float = field(default=1.0, metadata={"json": False})


@settings(deadline=None)  # the first example loads what the others find loaded
@given(st.floats(), st.lists(st.floats(), max_size=4))
def test_a_record_is_strict_json(number: float, series: list[float]) -> None:
    record = Example(number, tuple(series), 3).to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert set(record) == {"number", "number_text", "series", "count"}
    assert (record["number"] is None) == (not math.isfinite(number))
    assert [x is None for x in record["series"]] == [not math.isfinite(x) for x in series]


@pytest.mark.parametrize(
    ("number", "text", "value"),
    [
        (12.0, "12", 12.0), (2 / 3, "0.666667", 2 / 3), (-0.0, "-0", 0.0), (1e-20, "1e-20", 1e-20),
        (True, "True", True), (7, "7", 7),
        (math.nan, "nan", None), (math.inf, "inf", None), (-math.inf, "-inf", None),
    ],
)  # fmt: skip
def test_number_as_value_and_text(number: float, text: str, value: float | None) -> None:
    assert value_text(number) == text
    assert json_number(number) == value


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), max_size=5).map(tuple))
def test_view_places_every_cell_as_torch_indexes_it(shape: tuple[int, ...]) -> None:
    tensor = torch.arange(math.prod(shape), dtype=torch.float32).reshape(shape)
    seen = display_tensor(tensor)
    listed = [cell for plane in seen.planes for row in plane.rows for cell in row]
    assert [cell.flat for cell in listed] == list(range(tensor.numel()))
    assert all(tensor[cell.index].item() == cell.value for cell in listed)
    assert all(len(cell.index) == len(shape) for cell in listed)
    assert (seen.shape, seen.elements) == (shape, tensor.numel())
    assert len(seen.planes) == math.prod(shape[:-2])


def test_view_of_a_transposed_tensor_is_in_its_own_order() -> None:
    rows = display_tensor(torch.tensor([[1.0, 2], [3, 4]]).t()).planes[0].rows
    assert [[cell.value for cell in row] for row in rows] == [[1, 3], [2, 4]]


def test_planes_are_labelled_as_one_would_index_them() -> None:
    assert [plane.label for plane in display_tensor(torch.zeros(2, 1, 1)).planes] == ["[0]", "[1]"]
    assert [plane.label for plane in display_tensor(torch.zeros(2, 2)).planes] == [""]


def test_limit_names_what_is_too_large() -> None:
    check_cells("a", (4, 256), 1024)
    with pytest.raises(LimitError) as caught:
        check_cells("a", (5, 256), 1024)
    assert (caught.value.allowed, caught.value.asked) == (1024, 1280)
    assert str(caught.value) == "cells of a (5, 256): 1280 asked for, at most 1024 allowed"
    with pytest.raises(LimitError):
        check_cells("rows without cells", (2000, 0), 1024)


def test_long_sums_are_cut_short_before_the_last_term() -> None:
    terms = [str(n) for n in range(100)]
    short = join_terms(terms, "+").split("+")
    assert short == [*terms[: record.SHOWN_TERMS - 1], "…", "99"]
