"""One mechanism for roots and consequences: what stands under what."""

import pytest
from msgspec.structs import replace

from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.diagnosis.roots import every, rooted


def found(rule, severity="warning"):
    return Finding(rule, severity, rule, "", "forward", (), (0, 0), (0, 0), {}, {})


def by(table):
    return lambda cause, effect: effect.rule in table.get(cause.rule, "")


def shape(roots):
    return {f.rule: [c.rule for c in f.consequences] for f in roots}


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({}, {"a": [], "b": [], "c": []}),
        ({"a": "b", "b": "c"}, {"a": ["b", "c"]}),  # near and far
        ({"c": "ab"}, {"c": ["a", "b"]}),  # whatever the order
        ({"a": "c", "b": "c"}, {"a": ["c"], "b": []}),  # once, under the first
        ({"a": "b", "b": "a"}, {"a": ["b"], "c": []}),  # of two the first is the cause
        ({"a": "b", "b": "c", "c": "a"}, {"a": ["b", "c"]}),  # a circle begins at its first
    ],
    ids=str,
)
def test_consequences_stand_under_the_cause_that_they_follow_from(table, expected):
    roots = rooted([found(rule) for rule in "abc"], by(table))
    assert shape(roots) == expected
    assert sorted(f.rule for f in every(roots)) == list("abc")


def test_nothing_that_was_not_found_connects():
    assert shape(rooted([found("a"), found("c")], by({"a": "b", "b": "c"}))) == {"a": [], "c": []}


def test_a_root_is_as_severe_as_what_follows_and_the_worst_comes_first():
    note, mild, bad = found("a", "info"), found("b"), found("c", "error")
    roots = rooted([mild, note, bad], by({"a": "c"}))
    assert [(f.rule, f.severity) for f in roots] == [("a", "error"), ("b", "warning")]
    assert roots[0].consequences == [bad]
    assert roots[0] == replace(note, severity="error", consequences=[bad])
