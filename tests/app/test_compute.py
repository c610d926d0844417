"""Places for computations: who gets one, who waits, and what becomes of what runs there."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from layerscope.app.compute import ClientGone, Compute, asking, while_connected
from layerscope.app.errors import Problem
from layerscope.engine.basis.cores import available_cores
from tests import working
from tests.computing import GIB, run, until


def begin(work: Coroutine[Any, Any, Any], client: str = "") -> asyncio.Task[Any]:
    """As a task, on behalf of a client."""
    token = asking.set(client)
    try:
        return asyncio.get_running_loop().create_task(work)
    finally:
        asking.reset(token)


@asynccontextmanager
async def occupied(compute: Compute, folder: Path, client: str = "") -> AsyncGenerator[None]:
    """One place is taken in the block."""
    folder.mkdir()
    running = begin(compute.run(partial(working.gated, folder)), client)
    await until((folder / "entered").exists)
    try:
        yield
    finally:
        (folder / "open").touch()
        await running


@contextmanager
def refused(status: int, words: str) -> Any:
    with pytest.raises(Problem, match=words) as problem:
        yield
    assert problem.value.status == status
    if status == 503:
        assert int(problem.value.headers["Retry-After"]) > 0


def test_it_runs_in_another_process_which_is_kept() -> None:
    async def scenario(compute: Compute) -> None:
        first = await compute.run(working.pid)
        assert first != os.getpid()
        assert await compute.run(working.pid) == first

    run(scenario)


def test_what_is_cancelled_is_told_and_its_place_is_free_when_it_has_stopped(
    tmp_path: Path,
) -> None:
    async def scenario(compute: Compute) -> None:
        first = await compute.run(working.pid)
        running = asyncio.ensure_future(compute.run(partial(working.polite, tmp_path)))
        await until((tmp_path / "entered").exists)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert compute.active == 1
        assert await compute.run(working.pid) == first
        assert (tmp_path / "stopped").exists()

    run(scenario)


def test_what_does_not_stop_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerscope.app.workers.pool.KILL_SECONDS", 0.05)

    async def scenario(compute: Compute) -> None:
        first = await compute.run(working.pid)
        running = asyncio.ensure_future(compute.run(partial(working.stubborn, tmp_path)))
        await until((tmp_path / "entered").exists)
        running.cancel()
        assert await compute.run(working.pid) != first
        assert first not in compute.workers.pids

    run(scenario)


def test_what_takes_too_long_is_ended_and_said(tmp_path: Path) -> None:
    async def scenario(compute: Compute) -> None:
        with refused(422, r"takes more than this server allows: .* after 0\.2 s"):
            await compute.run(partial(working.stubborn, tmp_path))
        compute._seconds = 60.0
        assert await compute.run(working.pid)

    run(scenario, seconds=0.2)


def test_what_takes_too_much_memory_is_said_and_the_process_goes_on() -> None:
    async def scenario(compute: Compute) -> None:
        first = await compute.run(working.pid)
        assert await compute.run(partial(working.allocate, GIB // 8)) == 1
        with refused(422, r"allows: .* 2\.68e\+08 bytes"):
            await compute.run(partial(working.allocate, GIB // 2))
        assert await compute.run(working.pid) == first

    run(scenario, memory_bytes=GIB // 4)


def test_a_process_that_dies_ends_one_request(tmp_path: Path) -> None:
    async def scenario(compute: Compute) -> None:
        async with occupied(compute, tmp_path / "1"):
            with refused(503, "ended unexpectedly; ask again"):
                await compute.run(working.die)
            assert await compute.run(working.pid)

    run(scenario, concurrent=2)


def test_a_process_that_died_while_it_waited_is_replaced() -> None:
    async def scenario(compute: Compute) -> None:
        first = await compute.run(working.pid)
        os.kill(first, signal.SIGKILL)
        await until(lambda: not Path(f"/proc/{first}").exists())
        assert await compute.run(working.pid) != first

    run(scenario)


def test_work_given_to_a_process_that_was_just_dying_is_given_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(compute: Compute) -> None:
        first = await compute.run(working.pid)
        os.kill(first, signal.SIGKILL)
        await until(lambda: not Path(f"/proc/{first}").exists())
        monkeypatch.setattr("layerscope.app.workers.pool.Worker.gone", lambda _: False)
        assert await compute.run(working.pid) != first
        assert first not in compute.workers.pids
        assert compute.active == 0

    run(scenario)


def test_errors_of_the_work_come_as_they_were_and_say_where_they_were_raised() -> None:
    async def scenario(compute: Compute) -> None:
        values = []
        with pytest.raises(ZeroDivisionError, match="a mistake") as raised:
            async with aclosing(compute.stream(working.fail)) as coming:
                async for value in coming:
                    values.append(value)
        assert values == [1]
        assert "in fail" in raised.value.__notes__[0]

    run(scenario)


def test_no_client_fills_the_queue(tmp_path: Path) -> None:
    async def scenario(compute: Compute) -> None:
        async with occupied(compute, tmp_path / "1", "a"), occupied(compute, tmp_path / "2", "b"):
            queue = [begin(compute.run(working.pid), client) for client in ("a", "a", "b")]
            await until(lambda: compute.waiting == 3)
            with refused(503, "2 requests of yours are waiting"):
                await begin(compute.run(working.pid), "a")
        assert all(await asyncio.gather(*queue))

    run(scenario, waiting=2)


def test_the_quick_and_the_new_do_not_wait_for_one_client(tmp_path: Path) -> None:
    async def scenario(compute: Compute) -> None:
        async with occupied(compute, tmp_path / "1", "a"):
            more = begin(compute.run(working.pid), "a")
            await until(lambda: compute.waiting == 1)
            assert await begin(compute.run(working.pid, quick=True), "a")
            assert await begin(compute.run(working.pid), "b")
            async with occupied(compute, tmp_path / "2", "b"):
                third = begin(compute.run(working.pid, quick=True), "c")
                await until(lambda: compute.waiting == 2)
            assert await third
            assert not more.done()
        assert await more

    run(scenario)


def test_waiting_ends_after_its_time(tmp_path: Path) -> None:
    async def scenario(compute: Compute) -> None:
        async with occupied(compute, tmp_path / "1"):
            with refused(503, r"0\.05 s"):
                await compute.run(working.pid)
            assert compute.waiting == 0

    run(scenario, wait_seconds=0.05)


def test_waiting_for_the_lane_ends_after_its_time_too(tmp_path: Path) -> None:
    """Each race ahead takes seconds: who waits for many of them is told to come back."""

    async def scenario(compute: Compute) -> None:
        await compute.lane.enter(1.0)
        with refused(503, r"0\.05 s"):
            await compute.run(working.pid, compute.lane)
        assert (compute.lane.waiting, compute.active) == (0, 0)
        compute.lane.leave()
        assert await compute.run(working.pid, compute.lane)

    run(scenario, wait_seconds=0.05)


def test_who_stops_waiting_takes_no_place(tmp_path: Path) -> None:
    async def scenario(compute: Compute) -> None:
        async with occupied(compute, tmp_path / "1"):
            given_up, patient = (asyncio.ensure_future(compute.run(working.pid)) for _ in range(2))
            await until(lambda: compute.waiting == 2)
            given_up.cancel()
            await until(lambda: compute.waiting == 1)
        assert await patient

    run(scenario)


def test_torch_uses_as_many_threads_as_set() -> None:
    async def scenario(compute: Compute) -> None:
        assert await compute.run(working.threads) == compute._torch_threads

    for count in (1, min(2, available_cores())):  # more are not to be had
        run(scenario, torch_threads=count)


def test_closing_stops_what_runs_and_refuses_what_waits(tmp_path: Path) -> None:
    async def scenario(compute: Compute) -> None:
        running = asyncio.ensure_future(compute.run(partial(working.polite, tmp_path)))
        await until((tmp_path / "entered").exists)
        waiting = asyncio.ensure_future(compute.run(working.pid))
        await until(lambda: compute.waiting == 1)
        compute.close()
        with refused(503, "stopping"):
            await waiting
        with refused(503, "stopping"):
            await compute.run(working.pid)
        with refused(503, "stopping"):
            await running
        await compute.join()
        assert compute.workers.pids == []

    run(scenario)


class Connection:
    """What ``while_connected`` needs of a request."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def receive(self) -> dict[str, str]:
        return await self.messages.get()


def test_work_is_cancelled_when_the_client_goes() -> None:
    async def scenario() -> None:
        connection, cancelled, begun = Connection(), asyncio.Event(), asyncio.Event()

        async def work() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        waiting = asyncio.ensure_future(while_connected(connection, work()))  # type: ignore[arg-type]
        connection.messages.put_nowait({"type": "http.request"})
        await begun.wait()
        await until(connection.messages.empty)
        assert not waiting.done()
        connection.messages.put_nowait({"type": "http.disconnect"})
        with pytest.raises(ClientGone):
            await waiting
        assert cancelled.is_set()

    asyncio.run(scenario())


def test_the_result_of_work_for_a_client_who_stays() -> None:
    async def scenario() -> None:
        async def work() -> int:
            return 3

        assert await while_connected(Connection(), work()) == 3  # type: ignore[arg-type]

    asyncio.run(scenario())
