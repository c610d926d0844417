"""Whatever torch.einsum takes we take, with the same shape and values; and nothing else."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from layerscope.engine.foundations.einsum.explanation import EinsumError, einsum, explain
from layerscope.engine.foundations.einsum.grammar import LETTERS

LETTER = "ijkA"
SIZES = (0, 1, 2, 3)


@dataclass(frozen=True)
class Case:
    equation: str
    shapes: tuple[tuple[int, ...], ...]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Equations that are mostly right: sizes fit but for one in ten; ellipses anywhere."""
    sizes = {letter: draw(st.sampled_from(SIZES)) for letter in LETTER}
    hidden = draw(st.lists(st.sampled_from(SIZES), max_size=2))

    def stretched(size: int) -> int:
        return draw(st.sampled_from([size] * 8 + [1, draw(st.sampled_from(SIZES))]))

    terms: list[str] = []
    shapes: list[tuple[int, ...]] = []
    for _ in range(draw(st.integers(1, 4))):
        letters = draw(st.lists(st.sampled_from(LETTER), max_size=3))
        shape = [stretched(sizes[letter]) for letter in letters]
        term = list(letters)
        if draw(st.booleans()):
            place = draw(st.integers(0, len(letters)))
            covered = hidden[draw(st.integers(0, len(hidden))) :]
            shape[place:place] = [stretched(size) for size in covered]
            term.insert(place, "...")
        terms.append("".join(term))
        shapes.append(tuple(shape))
    equation = ",".join(terms)
    if draw(st.booleans()):
        used = sorted({letter for term in terms for letter in term if letter in LETTER})
        output = draw(st.lists(st.sampled_from(used), unique=True)) if used else []
        if draw(st.integers(0, 9)) == 0:
            output.append(draw(st.sampled_from(LETTER)))
        if draw(st.booleans()):
            output.insert(draw(st.integers(0, len(output))), "...")
        equation += "->" + "".join(output)
    return Case(equation, tuple(shapes))


def operands(shapes: tuple[tuple[int, ...], ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    # Whole numbers in float64 add up exactly in every order: results are equal to the last bit.
    return [torch.randint(-3, 4, shape, generator=generator).double() for shape in shapes]


def agree(equation: str, shapes: tuple[tuple[int, ...], ...]) -> bool:
    """Whether both accept; what they then give is compared here."""
    tensors = operands(shapes)
    try:
        theirs = torch.einsum(equation, *tensors)
    except (RuntimeError, ValueError):
        with pytest.raises(EinsumError):
            einsum(equation, *tensors)
        return False
    ours = einsum(equation, *tensors)
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert torch.equal(ours, theirs)
    return True


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
@example(Case("", ((),)))
@example(Case(",", ((), ())))
@example(Case("i->...i", ((3,),)))
@example(Case("i->...", ((3,),)))
@example(Case("...i,...i", ((2, 3), (4, 1, 3))))
@example(Case("...i,...j,...j", ((2, 3), (4, 1, 3), (3,))))
@example(Case("ii,i,i", ((1, 1), (2,), (2,))))
@example(Case("i,i->i", ((0,), (1,))))
@example(Case("ij,ij,ij->i", ((2, 1), (2, 3), (1, 3))))
@example(Case("iii->i", ((3, 3, 3),)))
@example(Case("abcde->edcba", ((2, 1, 0, 3, 2),)))
@example(Case("ab...->ba", ((2, 3, 4),)))
@example(Case("i...j,j...->...", ((2, 3, 2), (2, 3))))
@example(Case("bij,bjk,bkl->bil", ((2, 3, 2), (2, 2, 3), (2, 3, 1))))
@example(Case("abc,bcd->ad", ((2, 3, 2), (3, 2, 4))))
@example(Case("xab,xbcd->xacd", ((2, 3, 4), (2, 4, 2, 3))))
@example(Case("xabk,xkcd->xdbca", ((2, 3, 2, 2), (2, 2, 2, 3))))
def test_accepts_what_torch_accepts_and_gives_the_same(case: Case) -> None:
    agree(case.equation, case.shapes)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_the_explanation_is_true(case: Case) -> None:
    """Shape as torch's, a verified form, and loops that compute the same when they are run."""
    try:
        said = explain(case.equation, case.shapes)
    except EinsumError:
        return
    tensors = operands(case.shapes)
    expected = torch.einsum(case.equation, *tensors)
    assert said.shape == tuple(expected.shape)
    assert said.form is not None
    assert {*said.summed, *said.kept, *said.batched} == {letter.label for letter in said.letters}
    names = {f"x{i}": tensor for i, tensor in enumerate(tensors)}
    if said.points <= 500:
        scope = {"torch": torch, **names}
        exec(said.loops, scope)  # noqa: S102  our own text, made from labels and sizes
        assert torch.equal(torch.as_tensor(scope["result"]).double().reshape(said.shape), expected)
    # The form's text says what its tree computes.
    shown = eval(said.form, {"torch": torch}, names)  # noqa: S307  our own text as well
    assert torch.equal(shown, expected)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
@example(Case("xabk,xkcd->xdbca", ((2, 3, 2, 2), (2, 2, 2, 3))))
def test_so_is_that_of_sizes_that_nobody_could_compute(case: Case) -> None:
    """Without any numbers the form has torch's shape, whatever was verified on small ones."""
    large = tuple(tuple(s if s < 2 else 100 * s for s in shape) for shape in case.shapes)
    try:
        said = explain(case.equation, large)
    except EinsumError:
        return
    assert said.form is not None
    empty = [torch.empty(shape, device="meta") for shape in large]
    names = {f"x{i}": tensor for i, tensor in enumerate(empty)}
    shown = eval(said.form, {"torch": torch}, names)  # noqa: S307  our own text
    assert tuple(shown.shape) == said.shape == tuple(torch.einsum(case.equation, *empty).shape)


CHARACTERS = "ijA.,-> " * 4 + "_1é\t[]0\x00"


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.text(alphabet=CHARACTERS, max_size=14), st.lists(st.sampled_from(
    [(), (2,), (1,), (2, 2), (2, 3), (0,), (1, 2, 2)]), max_size=3))  # fmt: skip
@example("i ->i", [(2,)])
@example("i-> ...", [(2,)])
@example("...->...->", [(2,)])
def test_any_text_is_accepted_as_torch_accepts_it(text: str, shapes: list[tuple[int, ...]]) -> None:
    if "[" in text:  # the other form, which torch does not take as text
        try:
            explain(text, shapes)
        except EinsumError:
            return
    elif not shapes:
        with pytest.raises(EinsumError):
            explain(text, shapes)
    else:
        agree(text, tuple(shapes))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.text(max_size=250), st.lists(st.lists(st.integers(-2, 2**70), max_size=9), max_size=10))
def test_any_text_and_shapes_give_a_result_or_a_named_rule(
    text: str, shapes: list[list[int]]
) -> None:
    try:
        said = explain(text, [tuple(shape) for shape in shapes])
    except EinsumError as caught:
        error = caught
    else:
        assert said.form is not None
        return
    assert error.to_dict()["sentence"]
    assert error.position is None or 0 <= error.position <= len(text)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="[]0123,. as", max_size=24), st.lists(st.sampled_from(
    [(), (2,), (2, 2)]), min_size=1, max_size=3))  # fmt: skip
def test_any_list_like_text_gives_a_result_or_a_named_rule(text: str, shapes) -> None:
    try:
        explain(f"[{text}]", shapes)
    except EinsumError as caught:
        error = caught
    else:
        return
    assert error.position is None or 0 <= error.position <= len(text) + 2


def test_every_letter_there_is() -> None:
    assert sorted(LETTERS) == sorted(string.ascii_letters)
    shuffled = list(LETTERS)
    random.Random(0).shuffle(shuffled)
    for start in range(0, 52, 8):
        term = "".join(shuffled[start : start + 8])
        assert agree(term, ((1, 2, 1, 2, 1, 2, 1, 2)[: len(term)],))
