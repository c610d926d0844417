"""Streams of Foundations: events in a thread, one race at a time, stopped with the connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.sse import KEEPALIVE_COMMENT

from layerscope.app.compute import Compute
from layerscope.app.errors import Problem
from layerscope.app.foundations.live import Live, Track, follow
from layerscope.engine.basis.cancellation import ShouldStop, Stopped


def counting(most: int) -> Any:
    def work(should_stop: ShouldStop) -> Iterator[int]:
        for number in range(most):
            if should_stop():
                raise Stopped
            yield number

    return work


def test_everything_comes_in_order() -> None:
    async def run() -> list[int]:
        return [n async for n in follow(Compute(1, 1, 1.0), counting(100))]

    assert asyncio.run(run()) == list(range(100))


def test_an_error_of_the_work_is_the_reader_s() -> None:
    def fails(_: ShouldStop) -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    async def run() -> None:
        seen = []
        with pytest.raises(ZeroDivisionError):
            async for n in follow(Compute(1, 1, 1.0), fails):
                seen.append(n)
        assert seen == [1]

    asyncio.run(run())


def test_closing_stops_the_thread_and_frees_place_and_track() -> None:
    ended = threading.Event()

    def endless(should_stop: ShouldStop) -> Iterator[int]:
        try:
            number = 0
            while not should_stop():
                number += 1
                yield number
        finally:
            ended.set()

    async def run() -> None:
        compute, track = Compute(1, 1, 5.0), Track()
        running = follow(compute, endless, track)
        assert await anext(running) == 1
        assert track.busy
        await running.aclose()
        async with asyncio.timeout(5):
            # The next one gets both only when the thread is through.
            assert [n async for n in follow(compute, counting(2), track)] == [0, 1]
        assert ended.is_set()
        assert compute.active <= 1

    asyncio.run(run())


def test_leaving_while_nothing_comes_stops_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerscope.app.foundations.live.KEEPALIVE_SECONDS", 0.01)
    ended = threading.Event()

    def silent(should_stop: ShouldStop) -> Iterator[tuple[str, str]]:
        while not should_stop():
            threading.Event().wait(0.001)
        ended.set()
        yield from ()

    async def run() -> None:
        compute = Compute(1, 1, 5.0)
        sent = Live(compute, silent)._events
        assert await anext(sent) == KEEPALIVE_COMMENT
        await sent.aclose()
        assert await asyncio.to_thread(ended.wait, 5)

    asyncio.run(run())


def test_one_at_a_time_and_only_some_may_wait() -> None:
    most = 0
    inside = 0
    lock = threading.Lock()

    def alone(_: ShouldStop) -> Iterator[int]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        yield 0
        with lock:
            inside -= 1

    async def run() -> None:
        compute, track = Compute(4, 4, 5.0), Track(most_waiting=3)

        async def one() -> int:
            return len([n async for n in follow(compute, alone, track)])

        assert await asyncio.gather(*(one() for _ in range(6))) == [1] * 6
        track.waiting = 3
        with pytest.raises(Problem, match="3 wait already") as refused:
            track.admit()
        assert refused.value.status == 503
        assert refused.value.headers["Retry-After"]

    asyncio.run(run())
    assert most == 1


def test_a_place_that_cannot_be_had_frees_the_track() -> None:
    async def run() -> None:
        compute, track = Compute(1, 0, 1.0), Track()
        place = await compute.take()
        with pytest.raises(Problem):
            await anext(follow(compute, counting(1), track))
        assert not track.busy
        place.leave()

    asyncio.run(run())
