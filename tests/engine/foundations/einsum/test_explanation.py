"""What the explanation says of the notes' examples and of a few telling equations."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.foundations.einsum.explanation import (
    EXAMPLES,
    NOTES_RULES,
    EinsumLimits,
    einsum,
    explain,
    run,
)

BY_NAME = {example.name: example for example in EXAMPLES}

FORMS = {
    "matmul": "x0 @ x1",
    "implicit": "x0 @ x1",
    "transpose": "x0.T",
    "b-reduction": "((x0 @ x1) * x2).sum(1)",
    "trace": "x0.diagonal().sum()",
    "diagonal": "x0.diagonal()",
    "outer": "x0[:, None] * x1",
    "batch-matmul": "x0 @ x1",
    "sublist": "x0 @ x1",
    "batch-permute": "x0.mT",
    "bilinear": "((x0 @ x1) * x2).sum(2).T",
}


def test_there_are_eleven_examples() -> None:
    assert list(BY_NAME) == list(FORMS)
    assert len(EXAMPLES) == 11
    assert len(NOTES_RULES) == 3


@pytest.mark.parametrize("name", BY_NAME)
def test_an_example_is_explained_and_computed(name: str) -> None:
    example = BY_NAME[name]
    said = explain(example.equation, example.shapes)
    assert said.form == FORMS[name]
    done = run(example.equation, example.shapes, seed=3)
    assert done.equal
    assert done.max_difference < 1e-4
    assert done.shape == said.shape
    assert done.result is not None
    generator = torch.Generator().manual_seed(3)
    operands = [torch.randn(shape, generator=generator) for shape in example.shapes]
    expected = torch.einsum(said.canonical, *operands)
    cells = [cell.value for plane in done.result.planes for row in plane.rows for cell in row]
    assert cells == expected.flatten().tolist()
    told = json.dumps([example.to_dict(), said.to_dict(), done.to_dict()], allow_nan=False)
    assert "seconds_text" in told


def test_examples_are_what_the_notes_say_they_are() -> None:
    x, y, z = (torch.randn(2, 2) for _ in range(3))
    close = torch.testing.assert_close
    close(einsum(BY_NAME["transpose"].equation, x), x.T)
    close(einsum(BY_NAME["trace"].equation, x), x.trace())
    close(einsum(BY_NAME["diagonal"].equation, x), x.diag())
    close(einsum(BY_NAME["outer"].equation, x[0], y[1]), torch.outer(x[0], y[1]))
    close(einsum(BY_NAME["b-reduction"].equation, x, y, z), ((x @ y) * z).sum(1))
    a, b = torch.randn(3, 2, 5), torch.randn(3, 5, 4)
    close(einsum(BY_NAME["batch-matmul"].equation, a, b), torch.bmm(a, b))
    close(einsum(BY_NAME["sublist"].equation, a, b), torch.bmm(a, b))
    weight, left, right = torch.randn(3, 5, 4), torch.randn(2, 5), torch.randn(2, 4)
    close(
        einsum(BY_NAME["bilinear"].equation, left, weight, right), F.bilinear(left, right, weight)
    )


def test_letters_are_summed_kept_or_batched() -> None:
    said = explain("bij,bjk->bik", [(3, 2, 5), (3, 5, 4)])
    assert (said.summed, said.kept, said.batched) == (("j",), ("i", "k"), ("b",))
    assert [letter.sentence for letter in said.letters] == [
        "b is batched: it pairs up x0 and x1 and stays in the output.",
        "i is kept: x0 brings it into the output.",
        "k is kept: x1 brings it into the output.",
        "j is summed: it is in x0 and x1 and not in the output.",
    ]
    assert [axis.index for axis in said.operands[0].axes] == [0, 1, 3]
    assert [axis.role for axis in said.operands[1].axes] == ["batched", "summed", "kept"]
    assert said.result.term == "bik"


def test_diagonals_and_stretched_axes_are_marked() -> None:
    said = explain("...ii,...i->...i", [(4, 3, 3), (1, 3)])
    assert said.diagonal == ("i",)
    assert said.stretched == ("e0",)
    assert [axis.diagonal for axis in said.operands[0].axes] == [False, True, True]
    assert [axis.stretched for axis in said.operands[1].axes] == [True, False]
    ellipsis = said.letters[0]
    assert ellipsis.ellipsis
    assert ellipsis.sentence == (
        "... (e0) is batched: it pairs up x0 and x1 and stays in the output; "
        "x1, of size 1 there, is used again for each of its values."
    )
    assert "x0[e0, i, i] * x1[0, i]" in said.loops


def test_loops_flops_and_shape_of_the_notes_product() -> None:
    said = explain("ik,kj->ij", [(5, 784), (784, 10)])
    assert said.points == 39_200
    assert said.contraction.naive_flops == said.contraction.flops == 78_400
    assert said.contraction.speedup == 1
    assert said.contraction.largest_intermediate == 0
    assert said.loops.splitlines()[-2] == "            total += x0[i, k] * x1[k, j]"


def test_a_chain_is_contracted_in_the_better_order() -> None:
    said = explain("ij,jk,kl->il", [(100, 5), (5, 100), (100, 3)])
    first, last = said.contraction.steps
    assert first.text == "v0[j, l] = x1[j, k] · x2[k, l]"
    assert (first.flops, first.elements, first.summed) == (2 * 5 * 100 * 3, 15, ("k",))
    assert last.text == "result[i, l] = x0[i, j] · v0[j, l]"
    assert said.contraction.flops == 3000 + 2 * 100 * 5 * 3
    assert said.contraction.naive_flops == 3 * 100 * 5 * 100 * 3
    assert said.contraction.speedup == pytest.approx(450_000 / 6000)
    assert said.contraction.largest_intermediate == 15


def test_nothing_to_compute_has_no_speedup() -> None:
    assert explain("ij->ji", [(2, 3)]).contraction.speedup is None
    assert explain("ij,jk", [(0, 3), (3, 2)]).contraction.speedup is None


@pytest.mark.parametrize(
    ("equation", "shapes", "form"),
    [
        ("ij->ij", [(2, 3)], "x0"),
        ("ijk->kij", [(2, 3, 4)], "x0.permute(2, 0, 1)"),
        ("ijk->kji", [(2, 3, 4)], "x0.transpose(0, 2)"),
        ("ij->", [(2, 3)], "x0.sum()"),
        ("ijk->j", [(2, 3, 4)], "x0.sum((0, 2))"),
        ("ij->j", [(2, 3)], "x0.sum(0)"),
        ("i,i->", [(3,), (3,)], "x0 @ x1"),
        ("i,i->i", [(3,), (3,)], "x0 * x1"),
        ("ij,j->i", [(2, 3), (3,)], "x0 @ x1"),
        ("ij,ij->", [(2, 3), (2, 3)], "(x0 * x1).sum()"),
        ("ij,kj->ik", [(2, 3), (4, 3)], "x0 @ x1.T"),
        ("ij,jk->ki", [(2, 3), (3, 4)], "(x0 @ x1).T"),
        ("bij,jk->bik", [(7, 2, 3), (3, 4)], "x0 @ x1"),
        ("abc,bcd->ad", [(2, 3, 4), (3, 4, 5)], "x0.flatten(1, 2) @ x1.flatten(0, 1)"),
        ("iji->ij", [(3, 2, 3)], "x0.diagonal(dim1=0, dim2=2).T"),
        ("ij,jk->ik", [(2, 1), (3, 4)], "x0.squeeze(1)[:, None] * x1.sum(0)"),
        (",i->i", [(), (3,)], "x0 * x1"),
    ],
)
def test_the_form_is_what_one_would_write(equation, shapes, form) -> None:
    assert explain(equation, shapes).form == form


def test_large_results_are_not_listed() -> None:
    done = run("ij->ji", [(40, 30)])
    assert done.result is None
    assert done.operands == (None,)
    assert (done.elements, done.max_shown) == (1200, 1024)


@pytest.mark.parametrize(
    ("equation", "shapes", "form", "small"),
    [
        # attention of a large language model: scores are 34 billion numbers
        (
            "bhqd,bhkd->bhqk", [(16, 32, 8192, 128), (16, 32, 8192, 128)], "x0 @ x1.mT",
            "(2, 3, 4, 2), (2, 3, 5, 2)",
        ),
        ("ij,kl->ijkl", [(5000, 6000), (7000, 8000)], None, "(2, 3), (4, 5)"),
        (
            "bsd,vd->bsv", [(64, 4096, 12288), (50257, 12288)], "x0 @ x1.T",
            "(2, 3, 5), (4, 5)",
        ),
        ("ii->i", [(10**7, 10**7)], "x0.diagonal()", "(2, 2)"),
        ("ij,j->i", [(10**6, 10**6), (1,)], None, "(2, 3), (1,)"),
        (  # so many letters that not even all sizes 2 are small
            "abcdefgh,ijklmnop,qrstuvwx->abcdefghijklmnopqrstuvwx", [(4,) * 8] * 3, None,
            "(2, 2, 2, 2, 2, 2, 2, 2), (2, 2, 2, 2, 2, 2, 2, 2), (2, 2, 2, 2, 1, 1, 1, 1)",
        ),
    ],
)  # fmt: skip
def test_any_size_is_explained_and_its_form_held_on_small_shapes(equation, shapes, form, small):
    said = explain(equation, shapes)
    assert said.form is not None
    if form is not None:
        assert said.form == form
    assert said.form_note.endswith(f"on whole numbers of small shapes, {small}")
    json.dumps(said.to_dict(), allow_nan=False)


def test_the_same_seed_gives_the_same_numbers() -> None:
    assert run("i,j", [(3,), (2,)], seed=5).result == run("i,j", [(3,), (2,)], seed=5).result
    assert run("i,j", [(3,), (2,)], seed=5).result != run("i,j", [(3,), (2,)], seed=6).result


def test_numbers_beyond_json_integers_are_floats() -> None:
    huge = EinsumLimits(flops=2**62, elements=2**62, letters=60)
    said = explain(",".join(["ab", "cd", "ef", "gh"]) + "->", [(1000, 1000)] * 4, limits=huge)
    assert isinstance(said.points, float)
    assert said.points == 1e24
    assert isinstance(said.contraction.naive_flops, float)
    assert said.contraction.flops < 2**53


@pytest.mark.parametrize("steps", range(4))
def test_a_run_that_is_asked_to_stop_ends_at_its_next_step(steps: int) -> None:
    """Before torch's, the form's and the magnitudes' computation, and before one that is timed."""
    answers = iter([False] * steps + [True])
    with pytest.raises(Stopped):
        run("ij,jk->ik", [(3, 4), (4, 5)], should_stop=lambda: next(answers))
    assert not list(answers)
