"""Findings told to whoever trains: each once, and again when it gets worse."""

from __future__ import annotations

import pytest

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.telling import News, TrainingStopped


def finding(rule, severity="warning", *below):
    return Finding(
        rule=rule, severity=severity, title=rule, explanation="", direction="both", modules=(),
        layers=(0, 0), blocks=(0, 0), evidence={}, threshold={}, consequences=list(below),
    )  # fmt: skip


def told(news, *findings):
    return [each.rule for each in news.of(findings)]


def test_a_cause_comes_with_its_consequences_and_they_are_known_from_then_on():
    news = News(print, None)
    assert told(news, finding("a", "error", finding("b"))) == ["a"]
    assert told(news, finding("a", "error", finding("b"))) == []
    assert told(news, finding("b")) == []  # its cause is gone, it is not new


def test_what_comes_up_under_a_known_cause_is_new():
    news = News(print, None)
    assert told(news, finding("a", "error")) == ["a"]
    assert told(news, finding("a", "error", finding("b"), finding("c", "info"))) == ["b", "c"]
    assert told(news, finding("a", "error", finding("b"), finding("c", "error"))) == ["c"]
    assert told(news, finding("a", "error", finding("b"), finding("c", "error"))) == []


def test_what_gets_worse_is_told_again():
    news = News(print, None)
    assert told(news, finding("a", "info")) == ["a"]
    assert told(news, finding("a", "error")) == ["a"]
    assert told(news, finding("a", "warning")) == []


def test_a_consequence_stops_the_training_too():
    news = News(None, "error")
    news.tell(news.of([finding("a", "warning")]))
    with pytest.raises(TrainingStopped):
        news.tell(news.of([finding("a", "warning", finding("b", "error"))]))
