"""A log that nobody reads holds nobody up, and what it lost is counted."""

from __future__ import annotations

import io
import logging
import threading

import pytest

from layerscope.app import log_lines
from layerscope.app.log_lines import Lines


class Unread(io.StringIO):
    """As a full pipe: a write waits for its reader, here for ``read``."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.read = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.begun.set()
        self.read.wait(10)
        return super().write(text)


def test_a_line_waits_for_no_reader():
    stream = Unread()
    lines = Lines(stream)
    with lines.in_background():
        lines.write("first\n")
        assert stream.begun.wait(10)
        for number in range(5):
            lines.write(f"{number}\n")
            lines.flush()
        assert stream.getvalue() == ""
        stream.read.set()
    assert stream.getvalue() == "first\n0\n1\n2\n3\n4\n"


def test_outside_it_each_is_written_at_once():
    stream = io.StringIO()
    lines = Lines(stream)
    lines.write("before\n")
    assert stream.getvalue() == "before\n"
    with lines.in_background(), lines.in_background():  # as two applications in one process
        lines.write("inside\n")
    lines.write("after\n")
    assert stream.getvalue() == "before\ninside\nafter\n"


def test_what_does_not_fit_is_counted_and_told(monkeypatch, caplog):
    monkeypatch.setattr(log_lines, "MOST_LINES", 3)
    stream = Unread()
    lines = Lines(stream)
    with caplog.at_level(logging.WARNING, "layerscope.log"), lines.in_background():
        lines.write("first\n")
        assert stream.begun.wait(10)
        for number in range(5):
            lines.write(f"{number}\n")
        stream.read.set()
    assert stream.getvalue() == "first\n0\n1\n2\n"
    (record,) = caplog.records
    assert record.msg["event"] == "log lines were lost, nobody read them in time"
    assert record.msg["lines"] == 2


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError])
def test_a_reader_that_has_gone_ends_nothing(error):
    class Gone(io.StringIO):
        failed = threading.Event()

        def write(self, text: str) -> int:
            if not self.failed.is_set():
                self.failed.set()
                raise error
            return super().write(text)

    stream = Gone()
    lines = Lines(stream)
    with lines.in_background():
        lines.write("lost\n")
        assert stream.failed.wait(10)
        lines.write("seen\n")
    assert stream.getvalue() == "seen\n"
