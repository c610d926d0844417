"""Elementwise operators: the values, dtypes and errors of torch, and which cells met."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscope.engine.foundations.errors import LimitError
from layerscope.engine.foundations.record import value_text
from layerscope.engine.foundations.tensors.elementwise import OPERATORS, Elementwise, elementwise
from layerscope.engine.foundations.tensors.literals import parse_tensor

TORCH = {
    "+": torch.add, "-": torch.sub, "*": torch.mul, "/": torch.div, ">": torch.gt,
    "<": torch.lt, "==": torch.eq,
}  # fmt: skip


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    shape = draw(st.lists(st.sampled_from([0, 1, 1, 2, 3]), max_size=4))
    size = math.prod(shape)
    if draw(st.integers(0, 3)) == 0:
        values = draw(st.lists(st.booleans(), min_size=size, max_size=size))
        return torch.tensor(values, dtype=torch.bool).reshape(shape)
    numbers = draw(st.lists(st.floats(width=32), min_size=size, max_size=size))
    return torch.tensor(numbers, dtype=torch.float32).reshape(shape)


def shown(done: Elementwise) -> list[float]:
    assert done.result is not None
    return [c.value for plane in done.result.planes for row in plane.rows for c in row]


@settings(deadline=None)  # the first example loads what the others find loaded
@given(st.sampled_from(sorted(TORCH)), tensors(), tensors())
def test_equals_torch(name: str, a: torch.Tensor, b: torch.Tensor) -> None:
    done = elementwise(name, a, b)
    assert json.loads(json.dumps(done.to_dict(), allow_nan=False)) == done.to_dict()
    try:
        expected = TORCH[name](a, b)
    except RuntimeError as error:
        message = str(error)
    else:
        message = ""
    assert done.error == message
    assert done.explanation
    if message:
        assert (done.result, done.cells) == (None, ())
        return
    assert done.broadcast.ok
    assert done.result is not None
    assert (done.result.shape, f"torch.{done.result.dtype}") == (
        expected.shape,
        str(expected.dtype),
    )
    values = torch.tensor(shown(done), dtype=expected.dtype).reshape(expected.shape)
    torch.testing.assert_close(values, expected, rtol=0, atol=0, equal_nan=True)
    left, right = a.flatten().tolist(), b.flatten().tolist()
    for cell, value in zip(done.cells, shown(done), strict=True):
        x, y = left[cell.a_flat], right[cell.b_flat]
        assert cell.text == f"{value_text(x)} {name} {value_text(y)} = {value_text(value)}"
        pair = TORCH[name](torch.tensor(x, dtype=a.dtype), torch.tensor(y, dtype=b.dtype))
        assert value_text(pair.item()) == value_text(value)
        assert torch.equal(expected[cell.index], expected.flatten()[cell.flat]) or value != value


def test_every_operator_of_the_notes_is_there() -> None:
    assert list(OPERATORS) == list(TORCH)
    assert all(entry["formula"] and entry["help"] for entry in OPERATORS.describe())
    assert len({operator.word for operator in OPERATORS.values()}) == 7


def test_the_notes_example() -> None:
    a, b = parse_tensor("[10., 6, 4]"), parse_tensor("[2., 8, 7]")
    assert shown(elementwise("+", a, b)) == [12, 14, 11]
    assert shown(elementwise("<", a, b)) == [False, True, True]
    assert shown(elementwise(">", a, parse_tensor("0"))) == [True, True, True]
    assert elementwise("+", a, b).expression == "a + b"


def test_the_notes_mismatch() -> None:
    m = parse_tensor("[[1., 2, 3], [4,5,6], [7,8,9]]")
    done = elementwise("*", m, parse_tensor("[[1., 2, 3], [4,5,6]]"))
    assert done.error == (
        "The size of tensor a (3) must match the size of tensor b (2) at non-singleton dimension 0"
    )
    assert done.explanation.startswith("axis 0 fails: a has 3, b has 2")
    assert done.broadcast.failed_axis == 0


def test_a_dtype_that_torch_refuses_is_explained() -> None:
    done = elementwise("-", parse_tensor("[True]"), parse_tensor("[False]"))
    assert done.explanation == "the shapes fit, but torch has no - for bool and bool"
    assert "two bool tensors is not supported" in done.error


def test_sizes_are_limited_before_the_result_exists() -> None:
    with pytest.raises(LimitError, match="cells of a"):
        elementwise("+", torch.zeros(1025), torch.zeros(1))
    with pytest.raises(LimitError, match=r"cells of the result \(100, 100\)"):
        elementwise("+", torch.zeros(100, 1), torch.zeros(100))
    with pytest.raises(KeyError, match="unknown operator '%'"):
        elementwise("%", torch.zeros(1), torch.zeros(1))
