"""A few of the requests that `make fuzz` sends by the thousand."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tools import fuzz
from tools.fuzzing import Fuzzer

pytestmark = pytest.mark.slow

CASES = 150


def test_whatever_is_asked_is_answered(serve, capfd):
    with serve(max_flops=1e10, check_max_flops=3e8, max_bytes=2**27, warm_up=False) as server:
        fuzzer = Fuzzer(urlsplit(server.url).port, seed=1)
        assert fuzzer.ask(CASES) == []
        assert sum(fuzzer.seen.values()) == CASES
        assert {"200", "400", "404", "405", "422", "cut"} <= set(fuzzer.seen)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("line", "complained"),
    [
        ('{"event": "request", "level": "info", "status": 200}', False),
        ('{"event": "request", "level": "info", "status": 503}', False),
        ('{"event": "request", "level": "info", "status": 500}', True),
        ('{"event": "stream failed", "level": "error"}', True),
        ('{"event": "x", "level": "info", "exception": "Traceback (most"}', True),
        ("a line of a program that has died", True),
    ],
)
def test_what_no_request_may_leave_in_the_log(tmp_path, line, complained):
    log = tmp_path / "log"
    log.write_text(line + "\n")
    assert bool(fuzz.complaints(log)) is complained
