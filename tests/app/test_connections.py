"""Hostile and broken clients, on raw sockets: bounded, told why, and nobody else notices."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest

HEAD = b"POST /api/v1/experiment HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GET = b"GET /api/v1/presets HTTP/1.1\r\nHost: localhost\r\n"
LARGE = (
    b"GET /api/v1/experiment/tensor?depth=1&width=2000&inputs=2000&batch=1&layer=0&tensor=weight"
    b"&format=npy HTTP/1.1\r\nHost: localhost\r\n\r\n"
)  # 16 MB


@pytest.fixture(scope="module")
def hasty(serve):
    """A server whose every limit is short."""
    limits = dict.fromkeys(("header_seconds", "body_seconds", "write_seconds"), 0.4)
    with serve(max_header_bytes=2048, idle_seconds=0.4, warm_up=False, **limits) as server:
        yield server


@pytest.fixture
def raw(hasty):
    """``raw()`` is a connected socket whose reads end within the test's time."""
    opened = []

    def connect(receive_buffer=None):
        parts = urlsplit(hasty.url)
        connection = socket.socket()
        opened.append(connection)
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(20)
        connection.connect((parts.hostname, parts.port))
        return connection

    yield connect
    for each in opened:
        each.close()


def everything(connection):
    """What comes until the server closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def problem(connection):
    head, _, body = everything(connection).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    document = json.loads(body)
    assert document["status"] == int(lines[0].split()[1])
    return document["status"], document["detail"]


def healthy(server):
    # On a connection of its own: an idle one may be closed at this very moment.
    return httpx.get(f"{server.url}/healthz", timeout=20).status_code == 200


def push(connection, data, most):
    """Send ``data`` over and over until refused; how many bytes went out."""
    sent = 0
    try:
        while sent < most:
            sent += connection.send(data)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return sent


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /" + b"a" * 4096,  # the request line
        GET + b"X: " + b"a" * 4096,  # one field
        GET + b"X: a\r\n" * 700,  # many
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 4096,  # a trailer
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 4096,  # a chunk's extension
    ],
)
def test_a_long_header_is_refused(raw, begin):
    connection = raw()
    connection.sendall(begin)
    assert problem(connection) == (431, "The header has more than 2048 bytes.")


def test_many_short_fields_are_refused(raw):
    connection = raw()
    connection.sendall(GET + b"a:\r\n" * 101 + b"\r\n")
    assert problem(connection) == (431, "The header has more than 100 fields.")


def test_the_limit_of_a_header_is_exact(raw):
    fits = raw()
    begin = GET + b"Connection: close\r\nX: "
    end = b"\r\n\r\n"
    fits.sendall(begin + b"a" * (2048 - len(begin) - len(end)) + end)
    assert everything(fits).startswith(b"HTTP/1.1 200 ")
    over = raw()
    over.sendall(begin + b"a" * (2049 - len(begin)))
    assert problem(over)[0] == 431


def test_an_endless_header_holds_up_nobody(raw, hasty):
    connection = raw()
    connection.sendall(GET + b"X: ")
    assert push(connection, b"a" * 65536, most=1 << 26) < 1 << 26
    assert healthy(hasty)


def test_a_header_that_drips_is_refused(raw, hasty):
    connection = raw()
    connection.sendall(GET + b"X: ")
    assert healthy(hasty)  # while that one is open
    assert problem(connection) == (408, "The request's header took longer than 0.4 s.")


def test_dripping_does_not_buy_time(raw):
    connection = raw()
    connection.sendall(GET)
    connection.settimeout(0.02)
    dripped = 0
    while True:
        try:
            answer = connection.recv(4096)
            break
        except TimeoutError:
            connection.send(b"X: a\r\n")
            dripped += 1
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert dripped > 1


def test_a_connection_that_says_nothing_is_closed(raw):
    assert everything(raw()) == b""


def test_an_idle_connection_is_closed(raw):
    connection = raw()
    connection.sendall(GET + b"\r\n")
    assert everything(connection).startswith(b"HTTP/1.1 200 ")


def test_the_second_request_of_a_connection_has_the_same_time(raw):
    connection = raw()
    connection.sendall(GET + b"\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    connection.sendall(b"GET / HT")
    assert b"HTTP/1.1 408 " in everything(connection)


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_is_refused(raw, framing):
    connection = raw()
    connection.sendall(HEAD + framing + b'\r\n\r\n5\r\n{"dep')
    assert problem(connection) == (408, "The request's body took longer than 0.4 s.")


def test_what_is_no_http_gets_a_problem(raw):
    for nonsense in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                     b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"):  # fmt: skip
        connection = raw()
        connection.sendall(nonsense)
        assert problem(connection)[0] == 400


@pytest.mark.parametrize("wish", [b"", b"Connection: keep-alive\r\n"])
def test_to_http_1_0_a_stream_comes_without_chunks(raw, wish):
    connection = raw()
    target = b"/api/v1/experiment/stream?depth=2&width=8&batch=8"
    connection.sendall(b"GET " + target + b" HTTP/1.0\r\nHost: localhost\r\n" + wish + b"\r\n")
    head, _, body = everything(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head.lower()
    assert b"event: start\ndata: " in body
    assert b"\r\n" not in body  # as a chunk's frame has
    assert body.split(b"\n\n")[-2].startswith(b"event: end\n")


def test_to_http_1_0_an_answer_of_known_length_says_it(raw):
    connection = raw()
    connection.sendall(b"GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n")
    head, _, body = everything(connection).partition(b"\r\n\r\n")
    assert b"content-length: 2" in head.lower()
    assert body == b"ok"


def test_another_protocol_is_not_spoken(raw):
    connection = raw()
    connection.sendall(GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_an_unread_body_is_refused_and_thrown_away(raw):
    connection = raw()
    connection.sendall(HEAD + b"Content-Length: 999999999\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert push(connection, b"a" * 65536, most=1 << 26) < 1 << 26


def test_requests_far_ahead_of_their_answers_are_cut(raw):
    connection = raw()
    connection.sendall((GET + b"\r\n") * 2000)
    assert everything(connection).count(b"HTTP/1.1 200") < 2000


def test_a_client_that_does_not_read_is_cut(raw, hasty, until):
    sending = hasty.app.state.sending
    connection = raw(receive_buffer=4096)
    connection.sendall(LARGE)
    until(lambda: sending.bytes > 0)
    assert healthy(hasty)
    until(lambda: sending.bytes == 0)
    assert len(everything(connection)) < 16_000_000


def test_a_client_that_reads_slowly_gets_everything(raw):
    connection = raw(receive_buffer=65536)
    connection.sendall(LARGE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    received = len(everything(connection))
    assert received > 16_000_000


def test_large_answers_at_once_are_bounded(serve, until):
    with serve(max_sending_bytes=20_000_000, warm_up=False) as server:
        path = LARGE.split()[1].decode()
        parts = urlsplit(server.url)
        with closing(socket.socket()) as first:
            first.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            first.connect((parts.hostname, parts.port))
            first.sendall(LARGE)
            until(lambda: server.app.state.sending.bytes > 0)
            refused = server.client.get(path)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "5"
            assert "are on their way" in refused.json()["detail"]
            assert server.client.get("/api/v1/presets").status_code == 200
        until(lambda: server.app.state.sending.bytes == 0)
        assert len(server.client.get(path).content) > 16_000_000


def test_connections_at_once_are_bounded(serve, until):
    with serve(max_connections=3, warm_up=False) as server:
        parts = urlsplit(server.url)
        opened = [socket.create_connection((parts.hostname, parts.port)) for _ in range(2)]
        with closing(socket.create_connection((parts.hostname, parts.port))) as fourth:
            fourth.settimeout(20)
            assert problem(fourth) == (503, "This server takes 3 connections at once.")
        for each in opened:
            each.close()
        until(lambda: healthy(server))
