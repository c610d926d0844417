"""Work in slices: others are let in between, each writer in turn, and nothing gets lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from layerscope.app import slices


@pytest.fixture(autouse=True)
def each_piece_is_a_slice(monkeypatch):
    monkeypatch.setattr(slices, "SLICE_SECONDS", -1.0)


async def pieces(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


def test_whoever_asks_little_is_let_in_between_two_slices():
    seen: list[str] = []

    async def write(name: str) -> list[int]:
        found = []
        async for piece in slices.sliced(pieces(4)):
            seen.append(name)
            found.append(piece)
        return found

    async def both() -> list[list[int]]:
        loop = asyncio.get_running_loop()
        writing = asyncio.gather(write("a"), write("b"), write("c"))

        def ask() -> None:
            seen.append("?")
            if not writing.done():
                loop.call_soon(ask)

        loop.call_soon(ask)
        return await writing

    assert asyncio.run(both()) == [[0, 1, 2, 3]] * 3
    written = [name for name in seen if name != "?"]
    assert written == ["a", "b", "c"] * 4
    told = "".join(seen)
    assert not any(one + other in told for one in "abc" for other in "abc")


def test_who_leaves_the_queue_holds_nobody_up():
    async def leave() -> bool:
        waiting = [asyncio.ensure_future(slices.turn()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[1].cancel()
        await waiting[2]
        await slices.turn()
        return all(each.cancelled() for each in waiting[:2])

    assert asyncio.run(leave())


def test_an_error_of_the_writer_is_raised_to_the_reader():
    async def fails() -> AsyncIterator[int]:
        yield 1
        raise ValueError("no more")

    async def read() -> list[int]:
        return [piece async for piece in slices.sliced(fails())]

    with pytest.raises(ValueError, match="no more"):
        asyncio.run(read())
