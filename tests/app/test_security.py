"""Host check and headers, on every kind of answer."""

from __future__ import annotations

import re
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from layerscope.app.settings import Settings
from layerscope.app.templating import assets

EVERY = ["/docs", "/healthz", "/api/v1/presets", "/nothing", "/api/v1/experiment?depth=0"]


@pytest.mark.parametrize("path", EVERY)
def test_security_headers_are_on_every_answer(server, path):
    headers = server.client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "unsafe-eval" not in policy
    assert "script-src" not in policy  # default-src 'self' governs: no inline script
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers


def test_the_nonce_is_new_each_time(server):
    found = [
        re.search(
            r"'nonce-([\w-]{20,})'", server.client.get("/docs").headers["content-security-policy"]
        )
        for _ in range(2)
    ]
    assert found[0][1] != found[1][1]


def test_a_304_keeps_the_policy_of_the_stored_page(server):
    url = assets.url("vendor/htmx.min.js")
    first = server.client.get(url)
    again = server.client.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert "content-security-policy" not in again.headers


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:1234", "LOCALHOST:80", "[::1]:8000", "localhost."]
)
def test_own_names_are_answered(server, host):
    assert server.client.get("/api/v1/presets", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.1", "", "[::1", "a b"]
)
def test_foreign_names_are_refused(server, host):
    response = server.client.get("/api/v1/presets", headers={"Host": host})
    assert response.status_code == 400
    if response.headers.get("content-type") == "application/problem+json":
        assert response.json()["type"] == "/docs#problem-host"


def test_two_host_headers_are_refused(server):
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as raw:
        raw.sendall(b"GET /docs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")


def test_health_is_told_under_any_name(server):
    assert server.client.get("/healthz", headers={"Host": "10.1.2.3:8000"}).status_code == 200


@pytest.mark.parametrize(
    ("settings", "host", "allowed"),
    [
        ({"allowed_hosts": "a.example, b.example"}, "b.example", True),
        ({"allowed_hosts": "a.example"}, "b.example", False),
        ({"allowed_hosts": "*"}, "anything", True),
        ({"host": "192.168.1.5"}, "192.168.1.5", True),
        ({"host": "192.168.1.5"}, "192.168.1.6", False),
        ({"host": "0.0.0.0"}, "192.168.1.5", True),
        ({"host": "0.0.0.0"}, "evil.example", False),
        ({"host": "::"}, "[fe80::1]", True),
    ],
)
def test_which_hosts_are_allowed(settings, host, allowed):
    assert Settings(**settings).allows_host(host) is allowed


def test_answers_carry_a_request_id(server):
    given = server.client.get("/healthz", headers={"X-Request-ID": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    made: httpx.Response = server.client.get("/healthz", headers={"X-Request-ID": "a b\tc" * 50})
    assert re.fullmatch(r"[0-9a-f]{32}", made.headers["x-request-id"])
