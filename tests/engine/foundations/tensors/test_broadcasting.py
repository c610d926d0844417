"""Broadcasting: shape, strides and errors as torch has them, for odd shapes and every count."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscope.engine.foundations.errors import LimitError, ShapeError
from layerscope.engine.foundations.tensors.broadcasting import MAX_ELEMENTS, Operand, broadcast
from layerscope.engine.foundations.tensors.scanner import LiteralError

shapes = st.lists(st.sampled_from([0, 1, 1, 2, 3]), max_size=5).map(tuple)


@st.composite
def compatible(draw: st.DrawFn) -> list[tuple[int, ...]]:
    """Two to four shapes that fit: parts of one, with sizes replaced by 1."""
    full = draw(st.lists(st.integers(0, 4), max_size=5))
    chosen = []
    for _ in range(draw(st.integers(2, 4))):
        tail = full[draw(st.integers(0, len(full))) :]
        chosen.append(tuple(1 if draw(st.booleans()) else size for size in tail))
    return chosen


@settings(deadline=None)  # the first example loads what the others find loaded
@given(st.lists(shapes, min_size=2, max_size=4) | compatible())
def test_equals_torch(given_shapes: list[tuple[int, ...]]) -> None:
    result = broadcast(given_shapes)
    tensors = [torch.empty(shape) for shape in given_shapes]
    try:
        expected = tuple(torch.broadcast_shapes(*given_shapes))
    except RuntimeError:
        assert not result.ok
        with pytest.raises(RuntimeError) as caught:
            torch.broadcast_tensors(*tensors)
        assert result.message == str(caught.value)
        assert (result.shape, result.strides, result.elements) == (None, None, None)
        failing = result.axes[result.failed_axis or 0]
        assert (failing.status, failing.result) == ("failed", None)
        assert result.explanation.startswith(f"axis {result.failed_axis} fails: ")
        assert sum(size.role == "clash" for size in failing.sizes) >= 2
        return
    assert (result.ok, result.shape, result.message) == (True, expected, "")
    assert result.strides == torch.empty(expected).stride()
    assert (result.elements, result.bytes) == (math.prod(expected), 4 * math.prod(expected))
    assert tuple(axis.result for axis in result.axes) == expected
    for operand, tensor in zip(result.operands, tensors, strict=True):
        seen = tensor.expand(expected)
        assert (operand.expanded_shape, operand.expanded_strides) == (seen.shape, seen.stride())
        assert (operand.strides, operand.bytes_stored) == (tensor.stride(), 4 * tensor.numel())
        assert operand.bytes_after == operand.bytes_stored
        assert operand.bytes_seen == seen.numel() * seen.element_size()
        assert operand.same_data_ptr is True


@settings(deadline=None)
@given(st.lists(shapes, min_size=2, max_size=4) | compatible())
def test_every_axis_is_explained(given_shapes: list[tuple[int, ...]]) -> None:
    result = broadcast(given_shapes)
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == result.to_dict()
    count = max(map(len, given_shapes))
    assert [axis.axis for axis in result.axes] == list(range(count))
    for axis in result.axes:
        assert axis.from_right == axis.axis - count
        for size, shape in zip(axis.sizes, given_shapes, strict=True):
            there = -axis.from_right <= len(shape)
            assert size.size == (shape[axis.from_right] if there else None)
            assert size.text == (str(size.size) if there else "missing")
        sizes = {1 if size.size is None else size.size for size in axis.sizes}
        expected = "equal" if len(sizes) == 1 else "stretched" if len(sizes - {1}) < 2 else "failed"
        assert axis.status == expected
        assert axis.explanation


def test_the_vector_and_the_matrix_of_the_notes() -> None:
    row, matrix = broadcast([(3,), (3, 3)]).operands
    assert (row.expanded_strides, row.bytes_stored, row.bytes_seen) == ((0, 1), 12, 36)
    assert (matrix.expanded_strides, matrix.bytes_stored, matrix.bytes_seen) == ((3, 1), 36, 36)
    column = broadcast([Operand((3,), "unsqueeze(1)"), (3, 3)]).operands[0]
    assert (column.expanded_strides, column.bytes_after) == ((1, 0), 12)
    assert (column.expression, column.original_text, column.shape) == (
        "a.unsqueeze(1)", "(3,)", (3, 1),
    )  # fmt: skip


def test_the_notes_mismatch_in_torchs_words_and_ours() -> None:
    result = broadcast([(3, 3), (2, 3)])
    assert result.message == (
        "The size of tensor a (3) must match the size of tensor b (2) at non-singleton dimension 0"
    )
    assert (
        result.explanation == "axis 0 fails: a has 3, b has 2; they must be equal, or one of them 1"
    )
    assert [axis.status for axis in result.axes] == ["failed", "equal"]


def test_the_axis_met_first_from_the_right_is_named() -> None:
    result = broadcast([(2, 5, 4), (3, 1, 6), (4,)])
    assert (result.failed_axis, result.axes[0].status, result.axes[1].status) == (
        2, "failed", "stretched",
    )  # fmt: skip
    assert result.explanation.startswith("axis 2 fails: a has 4, b has 6;")


def test_axes_in_words() -> None:
    axes = broadcast([(4, 1, 3), (2, 3)]).axes
    assert [axis.explanation for axis in axes] == [
        "b has no such axis: a 1 is added, and read 4 times", "a's 1 is read 2 times", "all have 3",
    ]  # fmt: skip
    assert [[size.role for size in axis.sizes] for axis in axes] == [
        ["kept", "stretched"], ["stretched", "kept"], ["kept", "kept"],
    ]  # fmt: skip
    added = broadcast([(1, 3), (3,)]).axes[0]
    assert (added.status, added.sizes[1].role) == ("equal", "added")
    assert added.explanation == "b has no such axis: a 1 is added, and read once"


def test_huge_shapes_are_described_without_being_allocated() -> None:
    result = broadcast([(2**25, 1), (1, 2**25)])
    assert (result.elements, result.bytes) == (2**50, 2**52)
    first = result.operands[0]
    assert (first.expanded_strides, first.bytes_stored, first.bytes_after) == (
        (1, 0), 2**27, 2**27,
    )  # fmt: skip
    assert first.same_data_ptr is None


def test_limits_and_wrong_use() -> None:
    with pytest.raises(LimitError, match=f"elements of the result .*at most {MAX_ELEMENTS}"):
        broadcast([(2**26, 1), (2**25,)])
    with pytest.raises(LimitError, match="elements of b"):
        broadcast([(3,), (2**40, 2**11)])
    with pytest.raises(LimitError, match="elements of a"):  # strides would overflow all the same
        broadcast([(0, 2**40, 2**40), (1,)])
    with pytest.raises(LimitError, match="axes of a"):
        broadcast([(1,) * 9, (1,)])
    with pytest.raises(ValueError, match="1 shapes given; expected 2 to 4"):
        broadcast([(3,)])
    with pytest.raises(ValueError, match="5 shapes given"):
        broadcast([(3,)] * 5)
    with pytest.raises(ValueError, match=r"b has shape \(-1,\)"):
        broadcast([(3,), (-1,)])
    with pytest.raises(ShapeError, match="keeps 2 axes"):
        broadcast([Operand((3,), ":, :"), (3,)])
    with pytest.raises(LiteralError):
        broadcast([Operand((3,), "0"), (3,)])


@pytest.mark.parametrize(
    ("shapes", "sprung"),
    [
        ([(64, 1), (64,)], True),
        ([(64,), (64, 1)], True),
        ([(8, 1, 1), (8,)], True),
        ([(2, 3), (6, 1, 1)], True),
        ([(2, 3), (3, 2, 1)], True),
        ([(64, 1), (64, 1)], False),
        ([(64,), (64,)], False),
        ([(1, 64), (64,)], False),
        ([(1,), ()], False),
        ([(5, 1), (1, 5)], False),  # an outer product, asked for axis by axis
        ([(64, 1), (63,)], False),
    ],
)
def test_as_many_elements_and_other_axes_are_named_a_trap(shapes, sprung):
    result = broadcast(shapes)
    assert bool(result.trap) == sprung
    if sprung:
        assert f"make {result.elements}" in result.trap
        assert result.elements > max(torch.zeros(s).numel() for s in shapes)
        count = torch.zeros(shapes[0]).numel()
        assert ("each of a meets each of b" in result.trap) == (result.elements == count**2)


@pytest.mark.parametrize(
    ("shapes", "made"), [([(3,), (1, 3), (5, 1)], None), ([(2, 1), (2,), (5, 1, 1)], 4)]
)
def test_a_trap_is_that_of_its_pair_whatever_the_others_are(shapes, made):
    trap = broadcast(shapes).trap
    assert f"make {made}:" in trap if made else trap == ""
