"""A hundred clients for `benchmarks.trust`, in a process of their own: they come, ask, leave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator

__all__ = ["crowd", "heavy_loops"]

PATIENCE_SECONDS = 60.0
SLOW_READERS = 4
HOG = 200
"""The number of the client that asks for as much as it can."""
HEAVY = "/api/v1/experiment/stream?depth=300&width=512&batch=256&seed="
NPY = "/api/v1/experiment/tensor?depth=1&width=2048&inputs=8&batch=4000&layer=1&tensor=activation"


async def _ask(
    port: int, target: str, client: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request from an address of its own: to the server every client is another."""
    ours = (f"127.0.1.{1 + client}", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=ours)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return reader, writer


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1])


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    """The lines of a body that comes in chunks, wherever those are cut."""
    rest = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        chunk = await reader.readexactly(size + 2)
        *whole, rest = (rest + chunk[:-2]).split(b"\n")
        for line in whole:
            yield line.decode()


async def _stream(port: int, client: int, chance: random.Random, seen: Counter[str]) -> None:
    """One stream, left in the middle by a third of those who ask; every event held against what
    was asked for."""
    seed, depth = chance.randrange(10**9), chance.choice((5, 20, 50))
    leaves = chance.random() < 1 / 3
    reader, writer = await _ask(
        port, f"/api/v1/experiment/stream?seed={seed}&depth={depth}&width=50", client
    )
    try:
        status = await _status(reader)
        if status != 200:
            seen[str(status)] += 1
            return
        layers: dict[str, list[int]] = {"forward": [], "backward": []}
        event = ""
        async for line in _lines(reader):
            if line.startswith("event: "):
                event = line[7:].strip()
            elif line.startswith("data: "):
                data = json.loads(line[6:])
                if event == "start" and data["experiment"]["seed"] != seed:
                    seen["mixed"] += 1
                if event in layers:
                    layers[event] += [layer["index"] for layer in data["layers"]]
                    if leaves:
                        seen["left"] += 1
                        return
                if event == "problem":
                    seen["problem"] += 1
                    return
        every = list(range(2 * depth + 1))
        whole = layers["forward"] == every and layers["backward"] == every[::-1]
        seen["whole" if whole and event == "end" else "lost"] += 1
    finally:
        writer.transport.abort()


async def _plain(port: int, client: int, chance: random.Random, seen: Counter[str]) -> None:
    target = chance.choice(
        ("/", f"/api/v1/experiment?depth=5&seed={chance.randrange(10**9)}", "/foundations/neuron",
         "/why/precision?depth=3&width=20", "/api/v1/registry", "/docs"),
    )  # fmt: skip
    reader, writer = await _ask(port, target, client)
    try:
        seen[str(await _status(reader))] += 1
        await reader.read()
    finally:
        writer.transport.abort()


async def _client(
    port: int, client: int, chance: random.Random, end: float, seen: Counter[str]
) -> None:
    while time.monotonic() < end:
        await asyncio.sleep(chance.random())
        ask = _stream if chance.random() < 0.5 else _plain
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await ask(port, client, chance, seen)
        except TimeoutError:
            seen["no answer"] += 1
        except (OSError, EOFError):
            seen["cut"] += 1


async def _slow_reader(port: int, client: int, end: float, seen: Counter[str]) -> None:
    """Asks for megabytes and takes none of them until it is cut."""
    while time.monotonic() < end:
        _, writer = await _ask(port, NPY, client)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(min(20.0, max(0.0, end - time.monotonic())))
        writer.transport.abort()
        seen["slow"] += 1


async def _all(port: int, clients: int, seconds: float, seed: int) -> Counter[str]:
    end, seen = time.monotonic() + seconds, Counter[str]()
    each = [_client(port, n, random.Random(f"{seed} {n}"), end, seen) for n in range(clients)]  # noqa: S311
    slow = [_slow_reader(port, clients + n, end, seen) for n in range(SLOW_READERS)]
    await asyncio.gather(*each, *slow)
    return seen


def crowd(port: int, clients: int, seconds: float, seed: int = 0) -> Counter[str]:
    """What so many clients saw in so many seconds: answers by status, streams that came whole,
    were left, lost an event or held another's, and slow readers."""
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_all(port, clients, seconds, seed))
    return Counter()


async def _loop(port: int, chance: random.Random, end: float, seen: Counter[str]) -> None:
    while (left := end - time.monotonic()) > 0:
        reader, writer = await _ask(port, f"{HEAVY}{chance.randrange(10**9)}", HOG)
        try:
            async with asyncio.timeout(left):
                seen[str(await _status(reader))] += 1
                await reader.read()
        except TimeoutError:
            seen["unfinished"] += 1
        except (OSError, EOFError):
            seen["cut"] += 1
        finally:
            writer.transport.abort()


async def _loops(port: int, count: int, seconds: float) -> Counter[str]:
    end, seen = time.monotonic() + seconds, Counter[str]()
    await asyncio.gather(
        *(_loop(port, random.Random(n), end, seen) for n in range(count))  # noqa: S311
    )
    return seen


def heavy_loops(port: int, count: int, seconds: float) -> Counter[str]:
    """What one client with so many connections got, each asking for seconds of work in a loop."""
    return asyncio.run(_loops(port, count, seconds))
