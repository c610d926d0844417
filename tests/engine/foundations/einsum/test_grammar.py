"""Every rule of the grammar has its test, and every message says what, where and what instead."""

from __future__ import annotations

import pytest

from layerscope.engine.foundations.einsum.explanation import (
    EinsumError,
    EinsumLimitError,
    explain,
    run,
)
from layerscope.engine.foundations.einsum.grammar import RULES, parse_equation
from layerscope.engine.foundations.errors import LimitError

BROKEN = [
    ("unknown_character", "i_->i", [(3,)], 1, "_", "'_' at index 1 in the term of operand 0"),
    ("unknown_character", "iß", [(3, 3)], 1, "ß", "expected a letter a-z or A-Z"),
    ("unknown_character", "ij,j1->i", [(2, 3), (3, 2)], 4, "1", "in the term of operand 1"),
    ("unknown_character", "i\tj", [(3, 3)], 1, "\t", r"'\\t' at index 1"),
    ("unknown_character", "ij->i(", [(3, 3)], 5, "(", r"'\(' at index 5 in the output"),
    ("broken_arrow", "i-", [(3,)], 1, "-", "'-' at index 1 in the term of operand 0 is not part"),
    ("broken_arrow", "i - > i", [(3,)], 2, "-", "is not part of an arrow '->'"),
    ("broken_arrow", "i>i", [(3,)], 1, ">", "'>' at index 1"),
    ("two_arrows", "i->i->i", [(3,)], 4, "-", "second '->' at index 4"),
    ("broken_ellipsis", "..i", [(3,)], 0, None, "'.' at index 0 in the term of operand 0"),
    ("broken_ellipsis", ". ..", [(3,)], 0, None, r"expected '\.\.\.'"),
    ("broken_ellipsis", "....", [(3,)], 3, None, "'.' at index 3"),
    ("broken_ellipsis", "i->..", [(3,)], 3, None, "in the output"),
    ("two_ellipses", "...i...", [(3, 3)], 4, None, "second '...' at index 4"),
    ("two_ellipses", "...->......", [(3, 3)], 8, None, "in the output"),
    ("comma_in_output", "i,j->i,j", [(3,), (2,)], 6, ",", "',' at index 6 in the output"),
    ("unknown_output_letter", "ij->ik", [(2, 3)], 5, "k", r"'k' at index 5 is in no term \(ij\)"),
    ("unknown_output_letter", "i->I", [(2,)], 3, "I", "'I' at index 3"),
    ("repeated_output_letter", "ij->iji", [(2, 3)], 6, "i", "'i' at index 6 is in the output al"),
    ("no_operand", "", [], None, None, "no operand is given"),
    ("missing_operand", "ij,jk", [(2, 3)], 3, None, "2 terms but 1 operand is given: term 'jk'"),
    ("missing_term", "ij", [(2, 3), (3, 4)], 0, None, r"operand 1 of shape \(3, 4\) has no term"),
    ("dimension_count", "i,ijk->i", [(2,), (2, 3)], 2, None, r"names 3 axes but operand 1 of sh"),
    ("dimension_count", "i", [(2, 3)], 0, None, r"an ellipsis '\.\.\.' would cover the rest"),
    ("dimension_count", "...ij", [(2,)], 0, None, "names 2 axes beside its ellipsis but operand 0"),
    ("diagonal_sizes", "ii->i", [(2, 3)], 1, "i", "axis 0 of size 2 and axis 1 of size 3"),
    ("diagonal_sizes", "ii->i", [(1, 3)], 1, "i", "not even 1 is stretched"),
    ("letter_sizes", "ij,jk->ik", [(2, 3), (4, 5)], 3, "j",
     "'j' has size 3 at axis 1 of operand 0 but size 4 at axis 0 of operand 1"),
    ("letter_sizes", "i,i,i", [(1,), (2,), (3,)], 4, "i", "axis 0 of operand 1 but size 3"),
    ("ellipsis_sizes", "...i,...i", [(2, 7), (3, 7)], 5, None,
     "size 2 at axis 0 of operand 0 but size 3 at axis 0 of operand 1, aligned from the right"),
    ("sublist_syntax", "[0, 1", [(2, 3)], 5, None, r"the end at index 5; expected ','"),
    ("sublist_syntax", "[0 1]", [(2, 3)], 3, None, r"'1' at index 3; expected ','"),
    ("sublist_syntax", "[0, -1]", [(2, 3)], 4, None, "'-' at index 4"),
    ("sublist_syntax", "[a]", [(2,)], 1, None, "'a' at index 1; expected a number or ..."),
    ("sublist_syntax", "x [0]", [(2,)], 2, None, r"'\[' at index 2; expected ','"),
    ("sublist_syntax", "x, [0], [1], [0]", [(2,), (3,)], 8, None, "without an operand's name"),
    ("sublist_syntax", "[0],", [(2,)], 4, None, r"the end at index 4; expected '\['"),
    ("sublist_range", "[52]", [(2,)], 1, "52", "52 at index 1 in list 0; expected 0 to 51"),
    ("two_ellipses", "[..., ...]", [(2,)], 6, None, "second '...' at index 6 in list 0"),
    ("unknown_output_letter", "[0], [1]", [(2,)], 6, "1", r"number 1 at index 6 is in no term"),
    ("letter_sizes", "[0, 1], [1]", [(2, 3), (4,)], 9, "1", "'1' has size 3 at axis 1"),
    ("negative_size", "i", [(-1,)], None, None, r"operand 0 has shape \(-1,\)"),
    ("limit", "i" * 201, [(2,)], None, None, "characters of the equation: 201 asked for, at most"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "equation", "shapes", "position", "letter", "message"),
    BROKEN,
    ids=[f"{case[0]}: {case[1][:24]}" for case in BROKEN],
)
def test_a_broken_rule_is_named(rule, equation, shapes, position, letter, message) -> None:
    with pytest.raises(EinsumError, match=message) as caught:
        explain(equation, shapes)
    error = caught.value
    assert (error.rule, error.position, error.letter) == (rule, position, letter)
    assert error.to_dict() == {
        "rule": rule,
        "sentence": RULES[rule],
        "message": str(error),
        "position": position,
        "letter": letter,
    }
    if letter is not None and position is not None:
        assert equation[position:].startswith(letter)


def test_every_rule_is_tested() -> None:
    assert {case[0] for case in BROKEN} == set(RULES)


@pytest.mark.parametrize(
    ("equation", "shapes", "limit", "allowed", "asked"),
    [
        ("i" * 201, [(2,)], "characters of the equation", 200, 201),
        (",".join("i" * 9), [(2,)] * 9, "operands", 8, 9),
        ("abcdefghi", [(1,) * 9], "axes of operand 0", 8, 9),
        ("i", [(2**54,)], f"elements of operand 0 ({2**54},)", 2**53, 2**54),
        (
            "abcdefgh,ijklmnop,qrstuvwx,A->", [(1,) * 8] * 3 + [(1,)],
            "different letters", 24, 25,
        ),
    ],
)  # fmt: skip
def test_what_is_too_large_is_refused(equation, shapes, limit, allowed, asked) -> None:
    with pytest.raises(EinsumLimitError) as caught:
        explain(equation, shapes)
    error = caught.value
    assert (error.limit, error.allowed, error.asked) == (limit, allowed, asked)
    assert error.rule == "limit"
    assert isinstance(error, LimitError)


@pytest.mark.parametrize(
    ("equation", "shapes", "limit", "allowed", "asked"),
    [
        ("i", [(2**21,)], "elements of operand 0 (2097152,)", 2**20, 2**21),
        ("i,j->ij", [(2**11,), (2**10,)], "elements of the result (2048, 1024)", 2**20, 2**21),
        ("ij,jk,kl->il", [(1024, 1024)] * 3, "floating-point operations", 2**31, 2**32),
        (
            "ij,jk,kl,km->lmi", [(1024, 1), (1, 2), (2, 1024), (2, 1024)],
            "elements of the result (1024, 1024, 1024)", 2**20, 2**30,
        ),
    ],
)  # fmt: skip
def test_what_is_too_large_to_compute_is_explained_all_the_same(
    equation, shapes, limit, allowed, asked
) -> None:
    with pytest.raises(EinsumLimitError) as caught:
        run(equation, shapes)
    error = caught.value
    assert (error.limit, error.allowed, error.asked) == (limit, allowed, asked)
    assert explain(equation, shapes).form is not None


def test_a_huge_size_is_refused_without_allocating_it() -> None:
    with pytest.raises(EinsumLimitError, match="elements of operand 0"):
        explain("ij", [(2**40, 2**40)])


@pytest.mark.parametrize(
    ("equation", "canonical"),
    [
        ("ik,kj->ij", "ik,kj->ij"),
        (" i k , k j -> i j ", "ik,kj->ij"),
        ("ik,kj", "ik,kj->ij"),
        ("ba", "ba->ab"),
        ("bA", "bA->Ab"),
        ("ii", "ii->"),
        ("...ij,jk", "...ij,jk->...ik"),
        ("i->...", "i->..."),
        ("", "->"),
        (",", ",->"),
        ("->", "->"),
        ("i...j->j...", "i...j->j..."),
    ],
)
def test_the_output_that_is_implied(equation: str, canonical: str) -> None:
    assert parse_equation(equation).canonical == canonical
