"""Einsum over HTTP: examples, broken rules with their place, shapes as they are typed."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscope.app.foundations.einsum import shapes, shapes_text
from layerscope.engine.foundations.einsum.explanation import EXAMPLES, RULES, explain

API = "/api/v1/foundations/einsum"
PAGE = "/foundations/einsum"


@pytest.fixture(scope="module")
def client(server: Any) -> httpx.Client:
    return server.client  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_every_example_of_the_notes_is_a_working_link(client: httpx.Client, example: Any) -> None:
    query = {"equation": example.equation, "shapes": shapes_text(example.shapes)}
    page = client.get(PAGE, params=query)
    assert page.status_code == 200
    text = html.unescape(page.text)
    assert text.count('<a href="/foundations/einsum?equation=') == len(EXAMPLES)
    current = re.search(r'aria-current="true"><span>([^<]+)</span>', text)
    assert current
    assert current[1] == example.title
    found = client.get(API, params=query).json()
    expected = explain(example.equation, example.shapes)
    assert found["loops"] == expected.loops
    assert expected.loops in text
    assert found["shape"] == list(expected.shape)
    assert found["run"]["equal"]
    assert expected.form
    assert expected.form in text


def test_the_numbers_are_torch_s(client: httpx.Client) -> None:
    query = {"equation": "bi,ij,bj->b", "shapes": "2,3; 3,4; 2,4", "seed": "5"}
    found = client.get(API, params=query).json()
    generator = torch.Generator().manual_seed(5)
    operands = [torch.randn(s, generator=generator) for s in ((2, 3), (3, 4), (2, 4))]
    expected = torch.einsum("bi,ij,bj->b", *operands)
    cells = found["run"]["result"]["planes"][0]["rows"][0]
    assert [cell["value"] for cell in cells] == pytest.approx(expected.tolist())


@pytest.mark.parametrize(
    ("equation", "typed", "rule", "caret"),
    [
        ("ij,jk->ix", "(2,3),(3,4)", "unknown_output_letter", 8),
        ("i1,jk->ik", "(2,3),(3,4)", "unknown_character", 1),
        ("ij->ii", "(2,3)", "repeated_output_letter", 5),
        ("ij,jk->ik", "(2,3),(4,5)", "letter_sizes", 3),
        ("ij->i->j", "(2,3)", "two_arrows", 5),
        (".ij->ij", "(2,3)", "broken_ellipsis", 0),
        ("ijk", "(2,3)", "dimension_count", 0),
        ("ii", "(2,3)", "diagonal_sizes", 1),
        ("ij,jk", "(2,3)", "missing_operand", 3),
        ("[0, 99]", "(2,3)", "sublist_range", 4),
    ],
)
def test_a_broken_rule_is_named_with_its_place_under_the_equation(
    client: httpx.Client, equation: str, typed: str, rule: str, caret: int
) -> None:
    query = {"equation": equation, "shapes": typed}
    page = client.get(PAGE, params=query)
    assert page.status_code == 422
    text = html.unescape(page.text)
    assert RULES[rule] in text
    marked = re.search(r'class="ein-caret"[^>]*>(.*)\n<b>( *)\^</b>', text)
    assert marked
    assert marked[1] == equation
    assert len(marked[2]) == caret
    assert f'value="{equation}"' in text  # what was typed is kept
    problem = client.get(API, params=query)
    assert problem.status_code == 422
    (error,) = problem.json()["errors"]
    assert (error["field"], error["value"]) == ("equation", equation)
    beside = re.search(r'id="equation-error">([^<]*)<', text)
    assert beside
    assert beside[1] == error["message"]


def test_too_few_terms_is_said_of_the_shapes(client: httpx.Client) -> None:
    (error,) = client.get(API, params={"equation": "ij", "shapes": "2,3;3,4"}).json()["errors"]
    assert error["field"] == "shapes"
    assert "operand 1 of shape (3, 4) has no term" in error["message"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(2, 3), (x)", "shape 1, '(x)': found 'x', expected a size"),
        ("(2, 3) and (4)", "'and (4)' is no shape; expected each in brackets"),
        ("1;" * 9, "10 shapes; expected at most 8"),
        ("(2, 3", "is no shape"),
        ("2" * 500, "500 characters; expected at most 400"),
    ],
)
def test_shapes_that_are_none(client: httpx.Client, text: str, message: str) -> None:
    page = client.get(PAGE, params={"shapes": text})
    assert page.status_code == 422
    beside = re.search(r'id="shapes-error">([^<]*)<', html.unescape(page.text))
    assert beside
    assert message in beside[1]


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("i,j->ij", "(100000), (100000)"),
        ("i", "(1099511627776)"),
        ("ij,jk,kl->il", "(1024,1024),(1024,1024),(1024,1024)"),
    ],
)
def test_what_is_too_large_to_compute_is_explained(
    client: httpx.Client, equation: str, shapes: str
) -> None:
    query = {"equation": equation, "shapes": shapes}
    answer = client.get(API, params=query).json()
    assert answer["run"] is None
    assert "at most" in answer["too_large"]
    assert answer["form"]
    page = client.get(PAGE, params=query)
    assert page.status_code == 200
    assert f"Explained, not computed: {answer['too_large']}." in html.unescape(page.text)
    assert answer["contraction"]["steps"][0]["text"] in html.unescape(page.text)


def test_what_no_machine_holds_is_refused(client: httpx.Client) -> None:
    query = {"equation": "ij", "shapes": "(1099511627776, 1099511627776)"}
    (error,) = client.get(API, params=query).json()["errors"]
    assert "at most 9007199254740992 allowed" in error["message"]


@given(st.lists(st.lists(st.integers(0, 99), max_size=5).map(tuple), min_size=1, max_size=8))
def test_shapes_read_back_what_is_written(given_shapes: list[tuple[int, ...]]) -> None:
    assert list(shapes(shapes_text(given_shapes))) == given_shapes


GRAMMAR = st.text(alphabet="abijkA,->. []0123…\x00é", max_size=24)


@pytest.mark.slow
@settings(deadline=None, max_examples=80)
@given(GRAMMAR, st.text(alphabet="0123456789,; ()[]x-", max_size=24) | st.just("(2, 2), (2, 2)"))
def test_only_results_and_refusals(server: Any, equation: str, typed: str) -> None:
    query = {"equation": equation, "shapes": typed}
    page = server.client.get(PAGE, params=query)
    twin = server.client.get(API, params=query)
    assert page.status_code == twin.status_code
    assert page.status_code in (200, 422)
