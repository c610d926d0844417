"""The bridge from threads to the event loop: order, batches, errors, and what ends the work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from fastapi.sse import KEEPALIVE_COMMENT

from layerscope.app.batches import Batches, Work
from layerscope.app.compute import Compute, Lane
from layerscope.app.errors import Problem
from layerscope.app.streams import EventStream
from layerscope.engine.basis.cancellation import ShouldStop, Stopped

T = TypeVar("T")


def counting(most: int) -> Work[int]:
    def work(should_stop: ShouldStop) -> Iterator[int]:
        for number in range(most):
            if should_stop():
                raise Stopped
            yield number

    return work


async def everything(compute: Compute, work: Work[T], lane: Lane | None = None) -> list[T]:
    return [item async for batch in Batches(compute, work, lane=lane) for item in batch]


def test_everything_comes_in_order() -> None:
    async def run() -> list[int]:
        return await everything(Compute(1, 1, 1.0), counting(100))

    assert asyncio.run(run()) == list(range(100))


def test_what_is_patient_gathers_and_what_is_not_comes_at_once() -> None:
    gate, read = threading.Event(), threading.Event()

    def work(_: ShouldStop) -> Iterator[str]:
        yield "patient"
        read.wait(20)
        yield from ["patient"] * 3
        yield "urgent"
        gate.wait(20)

    async def run() -> None:
        batches = Batches(Compute(1, 1, 1.0), work, patient=lambda item: item == "patient")
        assert await anext(batches) == ["patient"]  # the first of all waits for nothing
        batches._next_batch = float("inf")  # patience without end: only the urgent one ends it
        read.set()
        found: list[str] = []
        while "urgent" not in found:
            found += await anext(batches)
        assert found == ["patient"] * 3 + ["urgent"]
        gate.set()
        assert await anext(batches, None) is None

    asyncio.run(run())


def test_a_loop_that_knows_is_not_woken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> int:
        loop = asyncio.get_running_loop()
        compute = Compute(1, 1, 1.0)
        slot = await compute.take()
        begun = threading.Event()

        def work(should_stop: ShouldStop) -> Iterator[int]:
            begun.set()
            yield from counting(1000)(should_stop)

        batches = Batches(compute, work, patient=lambda _: True)
        called: list[Callable[..., object]] = []
        wake = loop.call_soon_threadsafe
        monkeypatch.setattr(
            loop,
            "call_soon_threadsafe",
            lambda action, *arguments: (called.append(action), wake(action, *arguments))[1],
        )
        slot.leave()
        assert await asyncio.to_thread(begun.wait, 20)
        compute.join()  # the loop reads nothing meanwhile
        assert [n async for batch in batches for n in batch] == list(range(1000))
        return called.count(batches._set)

    assert asyncio.run(run()) == 2  # that there is something, and that nothing more comes


def test_an_error_of_the_work_is_the_reader_s() -> None:
    def fails(_: ShouldStop) -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    async def run() -> None:
        seen = []
        with pytest.raises(ZeroDivisionError):
            async for batch in Batches(Compute(1, 1, 1.0), fails):
                seen += batch
        assert seen == [1]

    asyncio.run(run())


def test_stopping_ends_the_thread_and_frees_slot_and_lane() -> None:
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
        compute, lane = Compute(1, 1, 5.0), Lane()
        running = Batches(compute, endless, lane=lane)
        assert (await anext(running))[0] == 1
        assert lane.busy
        running.stop()
        async with asyncio.timeout(5):
            # The next one gets both only when the thread is through.
            assert await everything(compute, counting(2), lane) == [0, 1]
        assert ended.is_set()
        assert compute.active <= 1

    asyncio.run(run())


def test_leaving_while_nothing_comes_stops_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerscope.app.streams.KEEPALIVE_SECONDS", 0.01)
    ended = threading.Event()

    def silent(should_stop: ShouldStop) -> Iterator[tuple[str, str]]:
        while not should_stop():
            threading.Event().wait(0.001)
        ended.set()
        yield from ()

    async def run() -> None:
        sent, answered = [], asyncio.Event()

        async def send(message: dict[str, object]) -> None:
            sent.append(message.get("body"))
            if KEEPALIVE_COMMENT in sent:
                answered.set()

        async def receive() -> dict[str, str]:
            await answered.wait()
            return {"type": "http.disconnect"}

        stream = EventStream(Batches(Compute(1, 1, 5.0), silent))
        await stream({"type": "http"}, receive, send)  # type: ignore[arg-type]
        assert KEEPALIVE_COMMENT in sent
        assert await asyncio.to_thread(ended.wait, 5)

    asyncio.run(run())


def test_work_that_gets_no_thread_any_more_ends_its_reader() -> None:
    async def run() -> None:
        compute, gate = Compute(2, 1, 1.0), threading.Event()
        compute._threads = ThreadPoolExecutor(1)
        busy = (await compute.take()).start(lambda _: gate.wait(20))
        waiting = Batches(compute, counting(1))
        await waiting.started()
        compute._threads.shutdown(wait=False, cancel_futures=True)
        gate.set()
        assert await asyncio.wrap_future(busy)
        with pytest.raises(Stopped):
            await anext(waiting)

    asyncio.run(run())


@pytest.mark.parametrize("begun", [True, False])
def test_who_stops_waiting_for_a_slot_is_never_run(begun: bool) -> None:
    async def run() -> None:
        compute, lane = Compute(1, 1, 5.0), Lane()
        slot = await compute.take()
        running = Batches(compute, counting(1), lane=lane)
        if begun:
            await asyncio.sleep(0)
        running.stop()
        with pytest.raises(Stopped):
            await anext(running)
        slot.leave()
        assert (compute.active, compute.waiting, lane.busy) == (0, 0, False)

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
        compute, lane = Compute(4, 4, 5.0), Lane(most_waiting=3)
        racing = (everything(compute, alone, lane) for _ in range(6))
        assert await asyncio.gather(*racing) == [[0]] * 6
        lane.waiting = 3
        with pytest.raises(Problem, match="3 wait already") as refused:
            lane.admit()
        assert refused.value.status == 503
        assert refused.value.headers["Retry-After"]

    asyncio.run(run())
    assert most == 1


def test_a_slot_that_cannot_be_had_frees_the_lane() -> None:
    async def run() -> None:
        compute, lane = Compute(1, 0, 1.0), Lane()
        slot = await compute.take()
        running = Batches(compute, counting(1), lane=lane)
        with pytest.raises(Problem):
            await running.started()
        with pytest.raises(Problem):
            await anext(running)
        assert not lane.busy
        slot.leave()

    asyncio.run(run())
