"""The health check of a container."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from layerscope.app import healthcheck
from layerscope.app.healthcheck import address, healthy


@pytest.mark.slow
def test_a_ready_server_is_healthy(server):
    assert healthy(server.url)


def test_nothing_or_something_else_is_not():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        assert not healthy(f"http://127.0.0.1:{port}")


def test_a_server_that_could_not_warm_up_is_not_able(serve):
    with serve(warm_up=False) as server:
        server.app.state.readiness.state = "failed"
        assert not healthy(server.url)
        assert server.client.get("/healthz").status_code == 503
        server.app.state.readiness.state = "starting"
        starting = server.client.get("/healthz")
        assert starting.status_code == 503
        assert starting.json()["type"] == "/docs#problem-starting"
        assert starting.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("arguments", "environment", "asked"),
    [
        ([], {}, "http://127.0.0.1:8000"),
        ([], {"LAYERSCOPE_PORT": "9000"}, "http://127.0.0.1:9000"),
        (
            ["--host", "0.0.0.0", "--port=9001"],
            {"LAYERSCOPE_PORT": "9000"},
            "http://127.0.0.1:9001",
        ),
        (["--port", "9002", "--host", "::"], {}, "http://[::1]:9002"),
        ([], {"LAYERSCOPE_HOST": "10.0.0.7"}, "http://10.0.0.7:8000"),
        (["--port"], {}, "http://127.0.0.1:"),
    ],
)
def test_it_asks_where_the_server_was_told_to_listen(arguments, environment, asked):
    assert address(["layerscope", "serve", *arguments], environment) == asked


def test_the_first_process_says_where(server, tmp_path, monkeypatch):
    told = tmp_path / "cmdline"
    monkeypatch.setattr(healthcheck, "FIRST_PROCESS", told)
    told.write_text(f"layerscope\0serve\0--port\0{urlsplit(server.url).port}\0")
    assert healthcheck.main() == 0
    told.write_text("layerscope\0serve\0--port\0nonsense\0")
    assert healthcheck.main() == 1
