"""Reductions: the values, shapes and errors of torch over every choice of axes."""

import json
import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscope.engine.foundations.errors import LimitError
from layerscope.engine.foundations.tensors.literals import parse_tensor
from layerscope.engine.foundations.tensors.reductions import (
    REDUCTIONS,
    ReductionError,
    ReductionResult,
    reduce,
)

TORCH = {
    "all": torch.all, "any": torch.any, "sum": torch.sum, "mean": torch.mean,
    "min": torch.amin, "max": torch.amax, "std": torch.std,
}  # fmt: skip

m = torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])


@st.composite
def cases(draw: st.DrawFn) -> tuple[torch.Tensor, tuple[int, ...] | None]:
    shape = draw(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=5))
    size = math.prod(shape)
    numbers = draw(st.lists(st.floats(-9, 9, width=32), min_size=size, max_size=size))
    tensor = torch.tensor(numbers, dtype=torch.float32).reshape(shape)
    if draw(st.integers(0, 3)) == 0:
        tensor = tensor > 0
    reach = max(len(shape), 1)
    axis = st.integers(-reach - 1, reach)
    axes = draw(st.none() | st.lists(axis, min_size=1, max_size=3).map(tuple))
    return tensor, axes


def shown(done: ReductionResult) -> list[float]:
    return [c.value for plane in done.result.planes for row in plane.rows for c in row]


@settings(deadline=None)  # the first example loads what the others find loaded
@given(st.sampled_from(sorted(TORCH)), cases(), st.booleans())
def test_equals_torch(
    name: str, case: tuple[torch.Tensor, tuple[int, ...] | None], keepdim: bool
) -> None:
    x, axes = case
    dims = tuple(range(x.dim())) if axes is None else axes
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's std of a single cell: nan, and a warning
            expected = TORCH[name](x, dim=dims, keepdim=keepdim)
    except (RuntimeError, IndexError):
        with pytest.raises(ReductionError):
            reduce(name, x, axes, keepdim=keepdim)
        return
    done = reduce(name, x, axes, keepdim=keepdim)
    assert json.loads(json.dumps(done.to_dict(), allow_nan=False)) == done.to_dict()
    assert (done.result.shape, f"torch.{done.result.dtype}") == (
        expected.shape,
        str(expected.dtype),
    )
    values = torch.tensor(shown(done), dtype=expected.dtype).reshape(expected.shape)
    torch.testing.assert_close(values, expected, rtol=0, atol=0, equal_nan=True)
    flat = x.flatten()
    for cell, value in zip(done.cells, shown(done), strict=True):
        assert len(cell.sources) == done.folded
        if done.folded and name != "std":
            alone = TORCH[name](flat[list(cell.sources)])
            torch.testing.assert_close(alone, torch.tensor(value, dtype=alone.dtype))
    assert sorted(i for cell in done.cells for i in cell.sources) == list(range(x.numel()))
    if expected.numel() == 1:
        item = expected.item()
        assert done.item_error == ""
        assert done.item == item or item != item
    else:
        assert (done.item, done.item_text) == (None, "")
        assert "cannot be converted to Scalar" in done.item_error


def test_every_reduction_of_the_notes_is_there() -> None:
    assert set(REDUCTIONS) == set(TORCH)
    assert all(entry["formula"] and entry["help"] for entry in REDUCTIONS.describe())


def test_the_notes_examples() -> None:
    a, b = parse_tensor("[10., 6, 4]"), parse_tensor("[2., 8, 7]")
    assert reduce("all", a < b).item is False
    assert reduce("any", a < b).item is True
    mean = reduce("mean", parse_tensor("[12., 14., 3.]"))
    assert mean.item == 9.666666984558105
    assert mean.cells[0].text == "(12 + 14 + 3) / 3 = 9.66667"
    assert mean.expression == "x.mean()"


def test_a_cell_knows_what_was_folded_into_it() -> None:
    done = reduce("sum", m, (-1,), keepdim=True)
    assert [cell.sources for cell in done.cells] == [(0, 1, 2), (3, 4, 5), (6, 7, 8)]
    assert [cell.index for cell in done.cells] == [(0, 0), (1, 0), (2, 0)]
    assert (done.axes, done.result.shape, done.folded) == ((1,), (3, 1), 3)
    assert done.expression == "x.sum(dim=-1, keepdim=True)"
    assert reduce("max", m, (0, 1)).expression == "x.amax(dim=(0, 1))"
    assert reduce("max", m, (0, 1)).cells[0].text == "max(1, 2, 3, 4, 5, 6, 7, 8, 9) = 9"
    assert reduce("all", torch.tensor([True, False])).cells[0].text == "True and False = False"


def test_nothing_and_nan_are_not_lost() -> None:
    assert reduce("sum", torch.zeros(0)).cells[0].text == "nothing = 0"
    empty = reduce("mean", torch.zeros(0, 2), (0,)).to_dict()
    assert [c["text"] for c in empty["result"]["planes"][0]["rows"][0]] == ["nan", "nan"]
    nan = reduce("max", torch.tensor([1.0, math.nan])).to_dict()
    assert (nan["item"], nan["item_text"]) == (None, "nan")


@pytest.mark.parametrize(
    ("name", "x", "axes", "message"),
    [
        ("sum", m, (2,), "axis 2 is out of range: shape (3, 3) has axes -2 to 1"),
        ("sum", m, (-3,), "axis -3 is out of range"),
        ("sum", m, (0, 0), "axis 0 in shape (3, 3): each may be named once"),
        ("sum", m, (1, -1), "axes 1 and -1 are the same in shape (3, 3)"),
        ("sum", torch.tensor(1.0), (1,), "axis 1 is out of range: shape () has axes -1 to 0"),
        ("mean", m > 1, None, "mean of bool cells is not defined; it needs floats"),
        ("min", torch.zeros(2, 0), (1,), "min over no cells is not defined: shape (2, 0)"),
    ],
)
def test_errors_are_named(
    name: str, x: torch.Tensor, axes: tuple[int, ...] | None, message: str
) -> None:
    with pytest.raises(ReductionError) as caught:
        reduce(name, x, axes)
    assert str(caught.value).startswith(message)


def test_no_axes_means_all_and_sizes_are_limited() -> None:
    assert reduce("sum", m, ()).item == reduce("sum", m).item == 45
    assert reduce("sum", torch.tensor(2.0), (0,), keepdim=True).result.shape == ()
    with pytest.raises(LimitError, match=r"cells of x \(1025,\)"):
        reduce("sum", torch.zeros(1025))
    with pytest.raises(KeyError, match="unknown reduction 'prod'"):
        reduce("prod", m)
