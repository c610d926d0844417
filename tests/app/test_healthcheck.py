"""The health check of a container."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from layerscope.app.healthcheck import healthy


def test_a_ready_server_is_healthy(server):
    assert healthy(urlsplit(server.url).port)


def test_nothing_or_something_else_is_not():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        assert not healthy(port)


def test_a_server_that_could_not_warm_up_is_not_able(serve):
    with serve(warm_up=False) as server:
        server.app.state.readiness.state = "failed"
        assert not healthy(urlsplit(server.url).port)
        assert server.client.get("/healthz").status_code == 503
        server.app.state.readiness.state = "starting"
        starting = server.client.get("/healthz")
        assert starting.status_code == 503
        assert starting.json()["type"] == "/docs#problem-starting"
        assert starting.headers["retry-after"] == "1"
