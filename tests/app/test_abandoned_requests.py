"""Clients that leave at any moment: every slot comes back, and the next client is served."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from functools import partial

import httpx
import pytest

from tests import working

pytestmark = pytest.mark.slow

SLOW = "depth=300&width=512&batch=400&seed="
"""Seconds of work, of which nobody sees the end."""
TARGETS = (
    "/",
    "/?depth=20&activation=tanh&seed=",
    f"/?{SLOW}",
    "/?depth=0",
    "/api/v1/experiment?depth=10&seed=",
    f"/api/v1/experiment?{SLOW}",
    "/api/v1/experiment/stream?depth=30&seed=",
    "/api/v1/experiment/stream?activation=linear&init=normal&init_scale=0.5&seed=",
    f"/api/v1/experiment/stream?{SLOW}",
    "/api/v1/experiment/layer?depth=5&layer=3&seed=",
    "/api/v1/experiment/tensor?width=1000&depth=2&layer=0&tensor=weight&format=npy&seed=",
    "/api/v1/experiment/tensor?depth=2&layer=1&tensor=weight",
    "/api/v1/experiment/script?depth=2",
    "/api/v1/foundations/schemes/stream?depth=40&seed=",
    "/api/v1/foundations/schemes?depth=10&seed=",
    "/api/v1/foundations/matmul/stream?m=16&k=16&n=16&time_limit=0.01&seed=",
    "/api/v1/foundations/matmul/scaling?largest=8&point_limit=0.01&seed=",
    "/api/v1/foundations/ladder",
    "/api/v1/foundations/neuron",
    "/api/v1/why/phase",
    "/api/v1/why/spectrum?depth=6&width=64&seed=",
    "/foundations",
    "/foundations/neuron",
    "/foundations/derivatives",
    "/foundations/einsum?equation=ij,jk-%3Eik&shapes=(900,900),(900,900)&seed=",
    "/api/v1/foundations/einsum?equation=ij,jk-%3Eik&shapes=(900,900),(900,900)&seed=",
    "/foundations/schemes?depth=30&seed=",
    "/foundations/schemes/stream?depth=30&seed=",
    "/foundations/matmul?run=true&m=8&k=8&n=8&time_limit=0.01&seed=",
    "/why/precision?depth=5&seed=",
    "/nowhere",
    "/healthz",
)
REQUESTS = 240
AT_ONCE = 12
SECONDS = 40.0
"""The most that all of them may take together."""


class Client:
    """One connection, and what is done with it before it is left."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def at_once(self, _: random.Random) -> None:
        """Nothing is read."""

    async def after_the_headers(self, _: random.Random) -> None:
        """As soon as the answer begins."""
        await self.reader.readuntil(b"\r\n\r\n")

    async def amid_the_body(self, chance: random.Random) -> None:
        """After some bytes of the answer, if it has so many."""
        await self.reader.readexactly(chance.randrange(1, 20_000))

    async def half_closed(self, _: random.Random) -> None:
        """It has no more to say, and listens."""
        self.writer.write_eof()
        await self.reader.read(1)

    async def while_others_are_served(self, chance: random.Random) -> None:
        """In the middle of whatever happens to be going on, without reading any of it."""
        host, port = self.writer.get_extra_info("peername")
        for _ in range(chance.randrange(1, 12)):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request("GET", "/healthz", "close"))
                assert (await reader.read()).startswith(b"HTTP/1.1 200")
            finally:
                await closed(writer)

    async def leave(self, *, rudely: bool) -> None:
        """Close the connection, with a reset where ``rudely``."""
        if rudely:
            whole = self.writer.get_extra_info("socket")
            whole.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        await closed(self.writer)


LEAVING: tuple[Callable[[Client, random.Random], Awaitable[None]], ...] = (
    Client.at_once,
    Client.after_the_headers,
    Client.amid_the_body,
    Client.half_closed,
    Client.while_others_are_served,
    Client.while_others_are_served,
)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def request(method: str, target: str, connection: str = "keep-alive") -> bytes:
    return (
        f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n"
        f"Connection: {connection}\r\n\r\n"
    ).encode()


async def abandon(port: int, chance: random.Random) -> None:
    """One request, and its client's end."""
    target = chance.choice(TARGETS)
    if target.endswith("seed="):  # never the same twice: nothing is known already
        target += str(chance.randrange(10**9))
    sent = request(chance.choice(("GET", "GET", "GET", "GET", "HEAD")), target)
    leaving = chance.choice(LEAVING)
    cut = chance.randrange(1, len(sent)) if chance.random() < 0.05 else None
    rudely = chance.random() < 0.4
    client = Client(*await asyncio.open_connection("127.0.0.1", port))
    client.writer.write(sent[:cut])
    try:
        # Half a request is never answered, and a short answer never has so many bytes.
        async with asyncio.timeout(0.05 if cut else 2):
            await leaving(client, chance)
    except (TimeoutError, EOFError, ConnectionError, asyncio.LimitOverrunError):
        pass
    finally:
        await client.leave(rudely=rudely)


async def storm(port: int, seed: int) -> int:
    """How many were abandoned, many at a time, until there were enough or time is up."""
    chances = iter(random.Random(f"{seed} {i}") for i in range(REQUESTS))
    done = 0

    async def some() -> None:
        nonlocal done
        for chance in chances:
            await abandon(port, chance)
            done += 1

    try:
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    except TimeoutError:
        pass
    return done


@pytest.mark.parametrize("seed", [0])
def test_every_slot_comes_back(serve, until, caplog, seed):
    with serve(max_concurrent=2) as server:
        compute = server.compute
        with caplog.at_level(logging.ERROR):
            assert asyncio.run(storm(httpx.URL(server.url).port, seed)) >= REQUESTS // 2
            until(lambda: (compute.active, compute.waiting) == (0, 0))
            until(lambda: not compute.lane.busy and compute.lane.waiting == 0)
        answer = server.client.get("/api/v1/experiment", params={"depth": 3, "seed": seed})
        assert answer.status_code == 200
        assert server.client.get("/", params={"depth": 3}).status_code == 200
        assert [record.getMessage() for record in caplog.records] == []


COMPUTED = (
    "/",
    "/foundations/neuron",
    "/foundations/ladder",
    "/foundations/derivatives?name=relu",
    "/foundations/schemes",
    "/foundations/schemes/stream",
    "/foundations/matmul?run=true",
    "/why/phase",
    "/api/v1/experiment",
    "/api/v1/experiment/stream",
    "/api/v1/experiment/layer?layer=0",
    "/api/v1/experiment/tensor?layer=0&tensor=weight",
    "/api/v1/foundations/neuron",
    "/api/v1/foundations/schemes/stream",
    "/api/v1/foundations/matmul",
    "/api/v1/foundations/matmul/stream",
    "/api/v1/why/phase",
)


ASKED = ("/foundations/neuron", "/foundations/ladder", "/foundations/derivatives?name=relu",
         "/api/v1/foundations/neuron")  # fmt: skip
"""Computed for a ``HEAD`` as well: only the answer tells whether the question is refused."""
BODILESS = tuple(target for target in COMPUTED if target not in ASKED)


def test_who_leaves_the_queue_holds_up_nobody(serve, until, tmp_path):
    """A slider that is dragged over a page asks again and again, and waits for the last alone."""
    with (
        serve(max_concurrent=1, max_waiting=1) as server,
        server.occupied(tmp_path / "1"),
        server.occupied(tmp_path / "2", quick=True),
    ):
        port = httpx.URL(server.url).port
        for target in COMPUTED:
            with socket.create_connection(("127.0.0.1", port)) as gone:
                gone.sendall(request("GET", target))
                until(lambda: server.compute.waiting == 1)
            until(lambda: server.compute.waiting == 0)
        assert server.compute.active == 2


@pytest.mark.parametrize(
    ("page", "work"),
    [
        ("/foundations/einsum", "pages.foundations.step._pictured"),
        ("/api/v1/foundations/einsum", "api.foundations._answer"),
    ],
)
def test_a_closed_tab_stops_its_einsum(serve, until, monkeypatch, tmp_path, page, work):
    monkeypatch.setattr(f"layerscope.app.{work}", partial(working.left_meanwhile, tmp_path))
    large = "?equation=ij,jk-%3Eik&shapes=(1000,1000),(1000,1000)"
    with serve(max_concurrent=1, warm_up=False) as server:
        with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port)) as gone:
            gone.sendall(request("GET", page + large))
            until((tmp_path / "entered").exists)
        until(lambda: server.compute.active == 0)
        assert (tmp_path / "stopped").exists()


def test_a_page_that_cannot_be_written_gives_its_slot_back(serve, until, monkeypatch):
    def unwritable(*_):
        raise RuntimeError("a template with a mistake in it")

    with serve(max_concurrent=1, warm_up=False) as server:
        monkeypatch.setattr("layerscope.app.pages.lab.page.stream", unwritable)
        for _ in range(2):
            assert server.client.get("/", params={"depth": 1}).status_code == 500
        until(lambda: server.compute.active == 0)


def test_head_computes_nothing(server, works):
    for target in BODILESS:
        assert server.client.head(target).status_code == 200, target
    assert works == []
