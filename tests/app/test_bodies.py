"""Bodies that stop coming, and bodies that come too large: a status at most, and no error."""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

POST = b"POST /api/v1/experiment HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
STREAM = b"GET /api/v1/experiment/stream?depth=400 HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
PART = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def narrow(serve: Any) -> Iterator[Any]:
    """A server that takes bodies of a hundred bytes."""
    with serve(max_body_bytes=100, max_flops=1e15, warm_up=False) as server:
        yield server


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing is logged in the test that is worth a warning."""
    with caplog.at_level(logging.WARNING):
        yield
    said = [record.getMessage() for record in caplog.records if record.name != "httpx"]
    assert said == []


def connected(server: Any) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), 60)


def goes_on(server: Any, until: Any) -> None:
    """Nobody computes, waits or is connected any more, and who comes next is answered."""
    until(lambda: (server.compute.active, server.compute.waiting) == (0, 0))
    assert server.client.get("/api/v1/experiment", params={"depth": 2}).status_code == 200


@pytest.mark.parametrize("told", [b"Content-Length: 90\r\n\r\n{", CHUNKED + b"5\r\n{\r\n"])
@pytest.mark.parametrize("rudely", [False, True])
@pytest.mark.usefixtures("quiet")
def test_a_body_that_is_left_in_the_middle_is_no_error(
    narrow: Any, until: Any, told: bytes, rudely: bool
) -> None:
    for _ in range(3):
        with closing(connected(narrow)) as connection:
            connection.sendall(POST + told)
            if rudely:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    goes_on(narrow, until)


@pytest.mark.parametrize(
    "sent", [POST + b"Content-Length: 101\r\n\r\n", POST + CHUNKED + PART,
             STREAM + b"Content-Length: 101\r\n\r\n"],
)  # fmt: skip
@pytest.mark.usefixtures("quiet")
def test_what_is_too_large_is_told_so_and_is_no_error(narrow: Any, until: Any, sent: bytes) -> None:
    with closing(connected(narrow)) as connection:
        connection.sendall(sent)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
    goes_on(narrow, until)


@pytest.mark.usefixtures("quiet")
def test_a_body_that_grows_too_large_while_a_stream_is_sent_is_no_error(
    narrow: Any, until: Any
) -> None:
    """The stream goes on: nobody reads that body."""
    with closing(connected(narrow)) as connection:
        connection.sendall(STREAM + CHUNKED)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        for _ in range(3):
            connection.sendall(PART)
        seen = b""
        while b"event: backward" not in seen:
            seen = seen[-100:] + connection.recv(65536)
    goes_on(narrow, until)
