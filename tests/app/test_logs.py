"""The log: one line a request, in a format that a machine reads."""

from __future__ import annotations

import json
import logging

import pytest

SCRIPT = """
import asyncio
from layerscope.app.logs import AccessLog, configure
from layerscope.app.errors import Problem
configure("info", FORMAT)

async def ends_well(scope, receive, send):
    await Problem(404, "nothing").response()(scope, receive, send)

async def fails(scope, receive, send):
    raise RuntimeError("a bug")

async def fails_late(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError("a late bug")

async def main():
    sent = []
    async def send(message):
        sent.append(message)
    for app in (ends_well, fails, fails_late):
        scope = {"type": "http", "method": "GET", "path": "/x\\n", "raw_path": b"/x%0a",
                 "client": ("10.0.0.9", 1), "headers": [(b"x-request-id", b"id-1")]}
        try:
            await AccessLog(app)(scope, None, send)
        except RuntimeError:
            print("raised")
    print([m.get("status") for m in sent if m["type"].endswith("start")])

asyncio.run(main())
"""


@pytest.fixture
def run(interpreter):
    """In a process of its own: logging is global."""
    return lambda log_format: interpreter.run("-c", f"FORMAT = {log_format!r}\n{SCRIPT}")


def test_json_lines(run):
    done = run("json")
    assert done.stdout.splitlines() == ["raised", "[404, 500, 200]"]
    records = [json.loads(line) for line in done.stderr.splitlines()]
    requests = [r for r in records if r["event"] == "request"]
    assert [r["status"] for r in requests] == [404, 500, 200]
    for record in requests:
        assert record["method"] == "GET"
        assert record["path"] == "/x%0a"
        assert record["client"] == "10.0.0.9"
        assert record["request_id"] == "id-1"
        assert record["duration_ms"] >= 0
        assert record["bytes"] >= 0
        assert record["level"] == "info"
        assert record["timestamp"].endswith("Z")
    failures = [r for r in records if r["event"] == "request failed"]
    assert [r["level"] for r in failures] == ["error", "error"]
    assert "a bug" in failures[0]["exception"]


def test_text_lines(run):
    lines = run("text").stderr
    assert "status=404" in lines
    assert "\x1b[" not in lines, "colours belong to terminals"
    assert lines.count("Traceback") == 2


@pytest.mark.parametrize("name", ["uvicorn.error", "layerscope"])
def test_levels_are_the_settings(name):
    assert logging.getLogger(name).getEffectiveLevel() >= logging.ERROR  # as the tests configure
