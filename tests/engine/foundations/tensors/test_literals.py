"""The parsers: the value that Python and torch would read, or else a `LiteralError`."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscope.engine.foundations.tensors.literals import (
    MAX_SIZE,
    LiteralError,
    parse_axes,
    parse_shape,
    parse_tensor,
)

GRAMMAR = "[](),.:+-eE0123456789 \tnaifTrueFalsNo\n"
text = st.text(max_size=60) | st.text(GRAMMAR, max_size=60)


def tensors_equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and bool(torch.equal(a, b))


@st.composite
def nested(draw: st.DrawFn) -> torch.Tensor:
    shape = draw(st.lists(st.integers(1, 3), max_size=5))
    count = math.prod(shape)
    numbers = draw(st.lists(st.floats(width=32, allow_nan=False), min_size=count, max_size=count))
    return torch.tensor(numbers, dtype=torch.float32).reshape(shape)


@settings(deadline=None)  # the first example loads what the others find loaded
@given(nested())
def test_what_python_writes_is_read_back(tensor: torch.Tensor) -> None:
    assert tensors_equal(parse_tensor(str(tensor.tolist())), tensor)


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("[10., 6, 4]", torch.tensor([10.0, 6, 4])),
        ("5", torch.tensor(5.0)),
        (" [ [ .5 ,-1e-3],[+2E2, 3.] , ] ", torch.tensor([[0.5, -1e-3], [200, 3]])),
        ("[inf, -Inf, +inf]", torch.tensor([math.inf, -math.inf, math.inf])),
        ("[Infinity, -Infinity]", torch.tensor([math.inf, -math.inf])),
        ("tensor([1., 2.])", torch.tensor([1.0, 2])),
        ("torch.tensor( [[1], [2]] )", torch.tensor([[1.0], [2]])),
        ("np.array([1, 2])", torch.tensor([1.0, 2])),
        ("array(3)", torch.tensor(3.0)),
        ("[True, False]", torch.tensor([True, False])),
        ("[True, 2]", torch.tensor([1.0, 2.0])),
        ("True", torch.tensor(True)),
        ("[]", torch.zeros(0)),
        ("[[], []]", torch.zeros(2, 0)),
        ("[[[]]]", torch.zeros(1, 1, 0)),
        ("3.4028235e38", torch.tensor(3.4028235e38)),
        ("1e-60", torch.tensor(0.0)),
    ],
)
def test_tensor_literals(literal: str, expected: torch.Tensor) -> None:
    assert tensors_equal(parse_tensor(literal), expected)


def test_nan_is_read() -> None:
    assert parse_tensor("[nan, NaN, 1]").isnan().tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("literal", "position", "found", "expected"),
    [
        ("", 0, "the end of the text", "a number or '['"),
        ("[1, 2", 5, "the end of the text", "',' or ']'"),
        ("[1 2]", 3, "'2'", "',' or ']'"),
        ("[1, 2] 3", 7, "'3'", "the end of the text"),
        ("[,]", 1, "','", "a number or '['"),
        ("[1,,2]", 3, "','", "a number or '['"),
        ("[1, abc]", 4, "'abc'", "a number, nan, inf, True or False"),
        ("1_000", 0, "'1_000'", "a number, nan, inf, True or False"),
        ("0x10", 0, "'0x10'", "a number, nan, inf, True or False"),
        ("1e", 0, "'1e'", "a number, nan, inf, True or False"),
        ("-True", 0, "'-True'", "a number, nan, inf, True or False"),
        ("--1", 0, "'-'", "a number or '['"),
        ("1e999", 0, "'1e999'", "at most 3.40282e+38, float32's largest, or inf"),
        ("[1, 4e38]", 4, "'4e38'", "at most 3.40282e+38, float32's largest, or inf"),
        ("[[1, 2, 3], [4, 5]]", 12, "row 1 with 2 entries", "3 as row 0 has"),
        ("[[1, 2], [3]]", 9, "row 1 with 1 entry", "2 as row 0 has"),
        ("[1, [2]]", 4, "entry 1 is a list", "a number as entry 0 is"),
        ("[[1], 2]", 6, "entry 1 is a number", "a list as entry 0 is"),
        ("[[[1, 2], [3]]]", 10, "in entry [0] row 1 with 1 entry", "2 as row 0 has"),
        ("[[[1, 2]], [[1]]]", 11, "row 1 with shape (1, 1)", "(1, 2) as row 0 has"),
        ("[[], 1]", 5, "entry 1 is a number", "a list as entry 0 is"),
    ],
)
def test_tensor_errors_say_where_and_what(
    literal: str, position: int, found: str, expected: str
) -> None:
    with pytest.raises(LiteralError) as caught:
        parse_tensor(literal)
    error = caught.value
    assert (error.position, error.found, error.expected) == (position, found, expected)
    assert str(error) == f"at position {position}: found {found}, expected {expected}"


def test_limits_of_a_tensor_literal() -> None:
    assert parse_tensor("[1, 2]", max_elements=2, max_depth=1, max_length=6).shape == (2,)
    with pytest.raises(LiteralError, match="element 3, expected at most 2 elements"):
        parse_tensor("[1, 2, 3]", max_elements=2)
    with pytest.raises(LiteralError, match="element 3, expected at most 2 elements"):
        parse_tensor("[[], [], []]", max_elements=2)
    with pytest.raises(LiteralError, match="a list inside 1 lists, expected at most 1 axes"):
        parse_tensor("[[1]]", max_depth=1)
    with pytest.raises(LiteralError, match="a text of 9 characters, expected at most 8"):
        parse_tensor("[1, 2, 3]", max_length=8)
    with pytest.raises(LiteralError, match="a number of 65 characters, expected at most 64"):
        parse_tensor("9" * 65)
    with pytest.raises(ValueError, match="max_depth is 65"):
        parse_tensor("1", max_depth=65)


def outcome(parse: Callable[..., Any], literal: str, **limits: int) -> Any:
    """What ``parse`` returns, or its `LiteralError`; anything else raised fails the test."""
    try:
        return parse(literal, **limits)
    except LiteralError as error:
        return error


def well_placed(error: object, literal: str) -> bool:
    return (
        isinstance(error, LiteralError)
        and 0 <= error.position <= len(literal)
        and bool(error.found and error.expected)
    )


@settings(deadline=None)
@given(text)
def test_any_text_gives_a_tensor_or_a_literal_error(literal: str) -> None:
    tensor = outcome(parse_tensor, literal, max_elements=50)
    if isinstance(tensor, torch.Tensor):
        assert tensor.numel() <= 50
    else:
        assert well_placed(tensor, literal)


@settings(deadline=None)
@given(text)
def test_any_text_gives_a_shape_or_a_literal_error(literal: str) -> None:
    shape = outcome(parse_shape, literal)
    if isinstance(shape, tuple):
        assert all(0 <= size <= MAX_SIZE for size in shape)
    else:
        assert well_placed(shape, literal)


@settings(deadline=None)
@given(text)
def test_any_text_gives_axes_or_a_literal_error(literal: str) -> None:
    axes = outcome(parse_axes, literal)
    assert axes is None or isinstance(axes, tuple) or well_placed(axes, literal)


@pytest.mark.parametrize("parse", [parse_tensor, parse_shape, parse_axes])
@pytest.mark.parametrize(
    "literal",
    [
        "[" * 100_000, "]" * 100_000, "[]" * 100_000, "[[]," * 100_000, "9" * 100_000,
        "-" * 100_000, "1e" * 100_000, "1e-" * 100_000, " " * 100_000, "1 " * 100_000,
        "[" + "1," * 100_000, "1e999" * 20_000, "\x00" * 100_000, "٣" * 10, "１",
    ],
)  # fmt: skip
def test_hostile_text_is_refused(parse: Callable[..., Any], literal: str) -> None:
    if parse is parse_axes and not literal.strip():
        assert parse(literal) is None
    else:
        assert well_placed(outcome(parse, literal), literal)
    if parse is parse_tensor:
        roomy = outcome(parse, literal, max_length=10**7, max_elements=10**5)
        assert well_placed(roomy, literal)


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("3, 1, 4", (3, 1, 4)), ("(3,1,4)", (3, 1, 4)), ("[3 1 4]", (3, 1, 4)), ("", ()),
        ("()", ()), ("[]", ()), ("(3,)", (3,)), ("3,", (3,)), (" ( 3 , 4 ) ", (3, 4)), ("0", (0,)),
        ("3 ,4", (3, 4)), ("1099511627776", (2**40,)),
    ],
)  # fmt: skip
def test_shapes(literal: str, expected: tuple[int, ...]) -> None:
    assert parse_shape(literal) == expected


@settings(deadline=None)
@given(st.lists(st.integers(0, MAX_SIZE), max_size=8).map(tuple))
def test_a_shape_is_read_back_from_every_notation(shape: tuple[int, ...]) -> None:
    sizes = list(map(str, shape))
    for written in (str(shape), str(list(shape)), " ".join(sizes), ",".join(sizes)):
        assert parse_shape(written) == shape


@pytest.mark.parametrize(
    ("literal", "message"),
    [
        ("3,,4", "position 2: found ',', expected a size, a whole number of 0 or more"),
        (",3", "position 0: found ','"),
        ("-1", "position 0: found -1, expected a size of 0 or more"),
        ("2.5", "position 0: found '2.5', expected a size"),
        ("three", "position 0: found 'three', expected a size"),
        ("(3, 4", "position 5: found the end of the text, expected ')'"),
        ("(3, 4]", "position 5: found ']'"),
        ("3, 4)", "position 4: found ')'"),
        ("(3) 4", "position 4: found '4', expected the end of the text"),
        ("3*4", "position 1: found '*'"),
        ("1099511627777", "expected a size of at most 1099511627776"),
        ("1 1 1 1 1 1 1 1 1", "expected at most 8 sizes"),
    ],
)
def test_shape_errors(literal: str, message: str) -> None:
    with pytest.raises(LiteralError) as caught:
        parse_shape(literal)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("literal", "expected"),
    [("", None), ("None", None), ("()", None), ("0", (0,)), ("0, -1", (0, -1)), ("(1,)", (1,))],
)
def test_axes(literal: str, expected: tuple[int, ...] | None) -> None:
    assert parse_axes(literal) == expected


def test_axes_that_are_none() -> None:
    with pytest.raises(LiteralError, match="found 'x', expected an axis, such as 0 or -1"):
        parse_axes("x")
    with pytest.raises(LiteralError, match="found '12345'"):
        parse_axes("12345")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("tensor([1, 2], dtype=torch.float64)", "a number format neither"), ("tensor([1, 2]", "'\\)'"),
     ("tensor()", "a number or"), ("eval([1])", "a number, nan")],
)  # fmt: skip
def test_nothing_but_a_tensors_numbers_is_called(text: str, expected: str) -> None:
    with pytest.raises(LiteralError, match=expected):
        parse_tensor(text)


@pytest.mark.parametrize("shape", [(64, 1), (3,), ()])
def test_a_shape_as_pytorch_prints_it(shape: tuple[int, ...]) -> None:
    assert parse_shape(str(torch.zeros(shape).shape)) == shape
    assert parse_shape(f" Size( {list(shape)} ) ") == shape


@pytest.mark.parametrize("text", ["torch.Size(3)", "torch.Size([3]", "torch.Size([3]) 4", "Size"])
def test_half_a_printed_shape_is_none(text: str) -> None:
    with pytest.raises(LiteralError):
        parse_shape(text)
