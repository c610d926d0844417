"""Indexing that adds axes: the same shape as torch gives, for everything the notes write."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscope.engine.foundations.errors import ShapeError
from layerscope.engine.foundations.tensors.indexing import Index, Subscript, Unsqueeze, parse_index
from layerscope.engine.foundations.tensors.scanner import LiteralError

c = torch.zeros(3)
m = torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("tensor", "text", "expected"),
    [
        (c, "", c), (c, "None, :", c[None, :]), (c, ":, None", c[:, None]), (c, "None", c[None]),
        (c, "..., None", c[..., None]), (c, "[None, ..., :]", c[None, ..., :]),
        (c, "unsqueeze(1)", c.unsqueeze(1)), (c, ".unsqueeze(-1)", c.unsqueeze(-1)),
        (c, ".unsqueeze(0)[..., None]", c.unsqueeze(0)[..., None]), (m, ":", m[:]),
        (m, "[:, None, :,]", m[:, None, :]), (m, "None, ..., None, :", m[None, ..., None, :]),
        (m, "[None].unsqueeze( 2 )", m[None].unsqueeze(2)), (torch.zeros(()), "None, None",
                                                             torch.zeros(())[None, None]),
    ],
)  # fmt: skip
def test_as_torch_indexes(tensor: torch.Tensor, text: str, expected: torch.Tensor) -> None:
    viewed, steps = parse_index(text).apply(tensor)
    assert (viewed.shape, viewed.stride()) == (expected.shape, expected.stride())
    assert viewed.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
    assert all(step.to_dict()["shape"] == list(step.shape) for step in steps)
    if steps:
        assert steps[-1].shape == tuple(expected.shape)


items = st.lists(st.sampled_from([None, slice(None)]), min_size=1, max_size=4)
steps = st.lists(
    items.map(lambda chosen: Subscript(tuple(chosen))) | st.integers(-6, 5).map(Unsqueeze),
    max_size=3,
)


@settings(deadline=None)  # the first example loads what the others find loaded
@given(steps, st.lists(st.integers(0, 3), max_size=4).map(tuple))
def test_text_is_read_back_and_errors_are_those_of_torch(
    chosen: list[Subscript | Unsqueeze], shape: tuple[int, ...]
) -> None:
    index = Index(tuple(chosen))
    assert parse_index(index.text) == index
    tensor = expected = torch.zeros(shape)
    try:
        for step in chosen:
            step_index = step.items if isinstance(step, Subscript) else None
            expected = (
                expected.unsqueeze(step.axis) if isinstance(step, Unsqueeze)
                else expected[step_index]
            )  # fmt: skip
    except IndexError:
        with pytest.raises(ShapeError):
            index.apply(tensor)
        return
    if expected.dim() <= 8:  # axes are only added: no step before had more
        assert index.apply(tensor)[0].shape == expected.shape


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "a number would remove an axis"),
        ("[0]", "a number would remove an axis"),
        ("[None, ..., ...]", "position 12: found a second '...'"),
        ("[None", "position 5: found the end of the text, expected ',' or ']'"),
        ("None None", "position 5: found 'N', expected ',' or the end of the text"),
        ("[]", "expected None, ... or ':'"),
        ("None, 1:2", "position 6: found '1'"),
        ("unsqueeze", "expected '('"),
        ("unsqueeze(x)", "expected an axis"),
        ("unsqueeze(1", "expected ')'"),
        ("unsqueeze(99999)", "an axis of 5 digits"),
        ("squeeze(1)", "expected None, ..., ':' or unsqueeze(axis)"),
        ("[None]" * 9, "at most 8 steps"),
        (", ".join(["None"] * 17), "at most 16 entries"),
        ("None," * 100, "at most 256"),
    ],
)
def test_index_errors(text: str, message: str) -> None:
    with pytest.raises(LiteralError) as caught:
        parse_index(text)
    assert message in str(caught.value)


@settings(deadline=None)
@given(st.text(max_size=40) | st.text("[]None.:,unsqueeze()-01 ", max_size=40))
def test_any_text_gives_an_index_or_a_literal_error(text: str) -> None:
    try:
        index: Index | LiteralError = parse_index(text)
    except LiteralError as error:
        index = error
    if isinstance(index, LiteralError):
        assert 0 <= index.position <= len(text)
    else:
        assert parse_index(index.text) == index


def test_steps_that_do_not_fit_name_the_shape() -> None:
    with pytest.raises(ShapeError, match=r"\[:, :\] keeps 2 axes by ':', but shape \(3,\) has 1"):
        parse_index(":, :").apply(c)
    with pytest.raises(ShapeError, match=r"unsqueeze\(3\) of shape \(3,\): .* from -2 to 1"):
        parse_index("unsqueeze(3)").apply(c)
    with pytest.raises(ShapeError, match="makes 9 axes, above 8"):
        parse_index(", ".join(["None"] * 8)).apply(c)


@pytest.mark.parametrize(
    ("text", "same"),
    [("[:, np.newaxis]", "[:, None]"), ("newaxis, :", "None, :"),
     ("[Ellipsis, None]", "[..., None]"),
     ("np.newaxis", "None"), ("Ellipsis, torch.newaxis", "..., None"),
     ("numpy.newaxis,", "None,")],
)  # fmt: skip
def test_other_names_of_a_new_axis_and_of_all(text, same):
    assert parse_index(text) == parse_index(same)


@pytest.mark.parametrize("text", ["np", "np.nan", "Ellipsis.x", "newaxis2", "[np.newaxis.T]"])
def test_no_other_name_is_one(text):
    with pytest.raises(LiteralError):
        parse_index(text)
