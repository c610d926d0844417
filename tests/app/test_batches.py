"""What a worker yields, on the event loop: order, batches, errors, and what ends the work."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi.sse import KEEPALIVE_COMMENT

from layerscope.app.batches import Batches
from layerscope.app.compute import Compute, Lane, Work
from layerscope.app.errors import Problem
from layerscope.app.streams import EventStream
from layerscope.engine.basis.cancellation import Stopped
from tests import working
from tests.computing import run, until


async def everything(compute: Compute, work: Work[Any], lane: Lane | None = None) -> list[Any]:
    return [item async for batch in Batches(compute, work, lane=lane) for item in batch]


def counting(most: int) -> Work[Any]:
    return partial(working.count, most)


def test_everything_comes_in_order() -> None:
    async def scenario(compute: Compute) -> None:
        assert await everything(compute, counting(100)) == list(range(100))

    run(scenario)


def test_what_is_patient_gathers_and_what_is_not_comes_at_once(tmp_path: Path) -> None:
    async def scenario(compute: Compute) -> None:
        batches: Batches[str] = Batches(
            compute, partial(working.urgently, tmp_path), patient=working.patient
        )
        assert await anext(batches) == ["patient"]  # the first of all waits for nothing
        batches._next_batch = float("inf")  # patience without end: only the urgent one ends it
        (tmp_path / "read").touch()
        found: list[str] = []
        while "urgent" not in found:
            found += await anext(batches)
        assert found == ["patient"] * 3 + ["urgent"]
        (tmp_path / "open").touch()
        assert await anext(batches, None) is None

    run(scenario)


def test_an_error_of_the_work_is_the_reader_s() -> None:
    async def scenario(compute: Compute) -> None:
        seen: list[int] = []
        with pytest.raises(ZeroDivisionError):
            async for batch in Batches[int](compute, working.fail):
                seen += batch
        assert seen == [1]

    run(scenario)


def test_stopping_ends_the_work_and_frees_place_and_lane() -> None:
    async def scenario(compute: Compute) -> None:
        lane = Lane()
        running: Batches[int] = Batches(compute, working.endless, lane=lane)
        assert (await anext(running))[0] == 0
        assert lane.busy
        running.stop()
        # The next one gets both only when the worker is through.
        assert await everything(compute, counting(2), lane) == [0, 1]

    run(scenario)


def test_leaving_while_nothing_comes_stops_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layerscope.app.streams.KEEPALIVE_SECONDS", 0.01)

    async def scenario(compute: Compute) -> None:
        sent, answered = [], asyncio.Event()

        async def send(message: dict[str, object]) -> None:
            sent.append(message.get("body"))
            if KEEPALIVE_COMMENT in sent:
                answered.set()

        async def receive() -> dict[str, str]:
            await answered.wait()
            return {"type": "http.disconnect"}

        stream = EventStream(Batches(compute, partial(working.silent, tmp_path)))
        await until((tmp_path / "entered").exists)
        await stream({"type": "http"}, receive, send)  # type: ignore[arg-type]
        assert KEEPALIVE_COMMENT in sent
        await until((tmp_path / "stopped").exists)

    run(scenario)


@pytest.mark.parametrize("begun", [True, False])
def test_who_stops_waiting_for_a_place_is_never_run(begun: bool, tmp_path: Path) -> None:
    async def scenario(compute: Compute) -> None:
        lane = Lane()
        first: Batches[Any] = Batches(compute, partial(working.gated, tmp_path))
        await until((tmp_path / "entered").exists)
        running: Batches[int] = Batches(compute, counting(1), lane=lane)
        if begun:
            await until(lambda: compute.waiting == 1)
        running.stop()
        with pytest.raises(Stopped):
            await anext(running)
        (tmp_path / "open").touch()
        assert await anext(first) == [False]
        assert (compute.waiting, lane.busy) == (0, False)

    run(scenario)


def test_one_at_a_time_and_only_some_may_wait(tmp_path: Path) -> None:
    async def scenario(compute: Compute) -> None:
        lane = Lane(most_waiting=3)
        racing = (everything(compute, partial(working.alone, tmp_path), lane) for _ in range(6))
        assert await asyncio.gather(*racing) == [[True]] * 6
        lane.waiting = 3
        with pytest.raises(Problem, match="3 wait already") as refused:
            lane.admit()
        assert refused.value.status == 503
        assert refused.value.headers["Retry-After"]

    run(scenario, concurrent=4)


def test_a_place_that_cannot_be_had_frees_the_lane() -> None:
    async def scenario(compute: Compute) -> None:
        compute.close()
        lane = Lane()
        running: Batches[int] = Batches(compute, counting(1), lane=lane)
        with pytest.raises(Problem):
            await running.started()
        with pytest.raises(Problem):
            await anext(running)
        assert not lane.busy

    run(scenario)
