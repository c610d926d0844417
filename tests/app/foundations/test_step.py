from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscope.app.forms import Form
from layerscope.app.foundations import Step
from layerscope.app.foundations.ladder import STEP as LADDER
from layerscope.app.foundations.schemes import STEP as SCHEMES
from layerscope.engine.basis.cancellation import ShouldStop, Stopped
from layerscope.engine.basis.refusals import FieldError, InvalidParameters
from layerscope.engine.basis.specification import Specification, Text, parameter


class Echo(Specification):
    word: Annotated[str, Text(str, longest=10)] = parameter("hello", "Word", "")


def ask(asked: Echo, _: ShouldStop) -> str:
    if asked.word == "field":
        raise FieldError("word", "no such thing")
    if asked.word == "whole":
        raise ValueError("nothing fits")
    return asked.word


STEP = Step(name="echo", title="", lead="", form=Echo, answer=ask, summary="", help="")


def read(query: str) -> Form[Specification]:
    return Form.read(STEP.form, parse_qsl(query, keep_blank_values=True))


def refusals(query: str) -> list[tuple[str, str]]:
    with pytest.raises(InvalidParameters) as refused:
        STEP.ask(read(query))
    return [(e["field"], e["message"]) for e in refused.value.errors]


def test_a_missing_name_has_its_default() -> None:
    assert STEP.ask(read("")) == "hello"
    assert STEP.ask(read("word=")) == ""


def test_unknown_repeated_and_long_are_refused_by_name() -> None:
    assert refusals("wrod=1") == [("wrod", "unknown parameter; expected one of: word")]
    assert refusals("word=a&word=b") == [("word", "given more than once; expected it once")]
    assert refusals("word=" + "x" * 11) == [("word", "11 characters; expected at most 10")]
    assert refusals("&".join(["word=a"] * 101))[0][0] == "query"


def test_an_answer_refuses_by_field_or_as_a_whole() -> None:
    assert refusals("word=field") == [("word", "no such thing")]
    assert refusals("word=whole") == [("query", "nothing fits")]


def test_what_was_typed_is_kept_and_a_default_shortens_the_link() -> None:
    form = read("word=a+b")
    assert form.typed == {"word": "a b"}
    assert form.query() == "word=a+b"
    assert form.query(word="hello") == ""


@given(st.text(max_size=30))
def test_any_text_is_a_value_or_a_refusal(text: str) -> None:
    form = Form.read(STEP.form, [("word", text)])
    if len(text) > 10:
        assert form.errors
    assert all(e["field"] == "word" for e in form.errors)


def test_an_answer_that_takes_long_can_be_stopped() -> None:
    for step in (LADDER, SCHEMES):
        with pytest.raises(Stopped):
            step.ask(Form.read(step.form, []), lambda: True)


class Several(Specification):
    size: int = parameter(1, "Size", "", ge=1, le=12)
    way: str = parameter("a", "Way", "", options=lambda: {"a": {}, "b": {}})
    kept: bool = parameter(False, "Kept", "")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("size", "13", "expected a whole number from 1 to 12"),
        ("way", "c", "expected one of: a, b"),
        ("kept", "maybe", "expected true or false"),
    ],
)
def test_a_refusal_names_the_bounds(name: str, text: str, message: str) -> None:
    (error,) = Form.read(Several, [(name, text)]).errors
    assert error == {"field": name, "message": message, "value": text}
