"""The sublist form is the same equation with numbers for letters."""

from __future__ import annotations

import pytest
import torch

from layerscope.engine.foundations.einsum.explanation import EinsumError, explain, parse_sublist


@pytest.mark.parametrize(
    ("text", "operands", "canonical"),
    [
        ("[..., 0, 1], [..., 1, 2], [..., 0, 2]", 2, "...AB,...BC->...AC"),
        ("[...,0,1],[...,1,2],[...,0,2]", 3, "...AB,...BC,...AC->..."),
        ("[..., 0, 1], [..., 1, 2]", 2, "...AB,...BC->...AC"),
        ("As, [..., 0, 1], Bs, [..., 1, 2], [..., 0, 2]", 2, "...AB,...BC->...AC"),
        ("As, [0, 1], Bs, [1, 2]", 2, "AB,BC->AC"),
        ("[1, 0]", 1, "BA->AB"),
        ("[26, 25, 51]", 1, "aZz->Zaz"),
        ("[]", 1, "->"),
        ("[0, 0], []", 1, "AA->"),
        ("  [ 0 , 1 ] , [ 1 , 0 ]  ", 1, "AB->BA"),
    ],
)
def test_reads_lists(text: str, operands: int, canonical: str) -> None:
    assert parse_sublist(text, operands).canonical == canonical


def test_reads_a_structure() -> None:
    equation = parse_sublist([[..., 0, 1], [..., 1, 2], [..., 0, 2]], operands=2)
    assert equation.canonical == "...AB,...BC->...AC"
    assert parse_sublist([[0, 1], [1, 0]]).canonical == "AB->BA"
    assert parse_sublist([[0, 1]]).canonical == "AB->AB"


def test_is_what_torch_makes_of_the_same_lists() -> None:
    a, b = torch.randn(3, 2, 5), torch.randn(3, 5, 4)
    theirs = torch.einsum(a, [..., 0, 1], b, [..., 1, 2], [..., 0, 2])
    ours = explain("[..., 0, 1], [..., 1, 2], [..., 0, 2]", [(3, 2, 5), (3, 5, 4)])
    assert ours.shape == tuple(theirs.shape)
    assert ours.torch_code == "torch.einsum(x0, [..., 0, 1], x1, [..., 1, 2], [..., 0, 2])"
    assert ours.operands[0].term == "[..., 0, 1]"
    assert [axis.subscript for axis in ours.result.axes] == ["...", "0", "2"]
    assert [axis.label for axis in ours.result.axes] == ["e0", "A", "C"]


def test_the_number_of_lists_must_fit_the_operands() -> None:
    with pytest.raises(EinsumError, match="3 terms but 1 operand is given") as caught:
        explain("[0], [0], [0]", [(2,)])
    assert caught.value.rule == "missing_operand"
    with pytest.raises(EinsumError, match="no term") as caught:
        explain("[0]", [(2,), (2,)])
    assert caught.value.rule == "missing_term"
