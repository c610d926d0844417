from __future__ import annotations

import math
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscope.app.foundations import Field, FieldError, Question, Refused
from layerscope.app.foundations.ladder import LADDER
from layerscope.app.foundations.query import choice, number, numbers, switch, whole
from layerscope.app.foundations.schemes import SCHEMES
from layerscope.engine.basis.cancellation import Stopped


def ask(text: str) -> object:
    if text == "field":
        raise FieldError("word", "no such thing")
    if text == "whole":
        raise ValueError("nothing fits")
    return text


QUESTION = Question(
    "echo", "", "", (Field("word", "Word", "hello", str, longest=10),), lambda word: ask(word)
)


def refusals(query: str) -> list[tuple[str, str]]:
    with pytest.raises(Refused) as refused:
        QUESTION.ask(QUESTION.read(query.encode()))
    return [(e["field"], e["message"]) for e in refused.value.errors]


def test_a_missing_name_has_its_default() -> None:
    assert QUESTION.ask(QUESTION.read(b"")) == "hello"
    assert QUESTION.ask(QUESTION.read(b"word=")) == ""


def test_unknown_repeated_and_long_are_refused_by_name() -> None:
    assert refusals("wrod=1") == [("wrod", "unknown; expected one of: word")]
    assert refusals("word=a&word=b") == [("word", "given more than once; expected it once")]
    assert refusals("word=" + "x" * 11) == [("word", "11 characters; expected at most 10")]
    assert refusals("&".join(["word=a"] * 101))[0][0] == "query"


def test_an_answer_refuses_by_field_or_as_a_whole() -> None:
    assert refusals("word=field") == [("word", "no such thing")]
    assert refusals("word=whole") == [("query", "nothing fits")]


def test_what_was_typed_is_kept_and_a_default_shortens_the_link() -> None:
    reading = QUESTION.read(b"word=a+b")
    assert reading.typed == {"word": "a b"}
    assert reading.query() == "word=a+b"
    assert reading.query(word="hello") == ""


@pytest.mark.parametrize("text", ["nan", "inf", "1_000", "0x10", "1e999", "", "٣", "1,2", "1e400"])
def test_a_number_is_a_finite_decimal(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number"):
        number(-10, 10)(text)


def test_readers_name_the_bounds() -> None:
    with pytest.raises(ValueError, match=r"^expected a whole number from 1 to 12$"):
        whole(1, 12)("13")
    with pytest.raises(ValueError, match=r"^expected one of: a, b$"):
        choice(("a", "b"))("c")
    with pytest.raises(ValueError, match="true or false"):
        switch("maybe")
    with pytest.raises(ValueError, match=r"^number 2, 'x': expected a number"):
        numbers(-1, 1, 5)("1, x")
    with pytest.raises(ValueError, match=r"^3 numbers; expected at most 2$"):
        numbers(-1, 1, 2)("1 1 1")


@pytest.mark.parametrize("text", ["1, 2,-3", "[1, 2, -3]", "1 2 -3", " 1,2,\u22123, "])
def test_numbers_are_read_in_every_usual_form(text: str) -> None:
    assert numbers(-5, 5, 3)(text) == [1, 2, -3]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_numbers_written_by_python_are_read_back(values: list[float]) -> None:
    read = numbers(-math.inf, math.inf, 20)
    assert read(str(values)) == values


@given(st.text(max_size=30))
def test_any_text_is_a_value_or_a_refusal(text: str) -> None:
    reading = QUESTION.read(urlencode({"word": text.encode("utf-8", "replace")}).encode())
    if len(text) > 10:
        assert reading.errors
    assert all(e["field"] == "word" for e in reading.errors)


def test_an_answer_that_takes_long_can_be_stopped():
    for question in (LADDER, SCHEMES):
        with pytest.raises(Stopped):
            question.ask(question.read(b""), lambda: True)
