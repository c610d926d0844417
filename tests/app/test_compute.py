"""Slots for computations: who gets one, who waits, and when it is free again."""

from __future__ import annotations

import asyncio
import threading

import pytest
import torch

from layerscope.app.compute import ClientGone, Compute, while_connected
from layerscope.app.errors import Problem
from layerscope.engine.basis.cores import available_cores


class Gate:
    """Work that runs until it is told to go on, whatever it is asked meanwhile."""

    def __init__(self):
        self.entered = threading.Event()
        self.open = threading.Event()

    def work(self, should_stop=None):
        self.entered.set()
        assert self.open.wait(20)
        return should_stop() if should_stop else None


async def turns(count=5):
    """Let everything that is ready on the loop run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def entered(gate):
    await asyncio.to_thread(gate.entered.wait, 20)


def test_a_slot_is_free_when_its_thread_is_done_not_when_it_was_asked_to_stop():
    async def scenario():
        compute, gate = Compute(1, 5, 20), Gate()
        running = asyncio.ensure_future(compute.run(gate.work))
        await entered(gate)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert compute.active == 1
        waiting = asyncio.ensure_future(compute.take())
        await turns()
        assert not waiting.done()
        gate.open.set()
        slot = await waiting
        assert compute.active == 1
        slot.leave()
        assert compute.active == 0

    asyncio.run(scenario())


def test_cancelled_work_is_told():
    async def scenario():
        compute, seen = Compute(1, 0, 1), []
        inside = threading.Event()

        def work(should_stop):
            inside.set()
            while not should_stop():
                threading.Event().wait(0.001)
            seen.append("stopped")

        running = asyncio.ensure_future(compute.run(work))
        await asyncio.to_thread(inside.wait, 20)
        running.cancel()
        await asyncio.to_thread(compute.join)
        assert seen == ["stopped"]

    asyncio.run(scenario())


def test_first_come_first_served_and_a_bounded_queue():
    async def scenario():
        compute = Compute(1, 2, 20)
        first = await compute.take()
        queue = [asyncio.ensure_future(compute.take()) for _ in range(2)]
        await turns()
        assert (compute.active, compute.waiting) == (1, 2)
        with pytest.raises(Problem) as refused:
            await compute.take()
        assert refused.value.status == 503
        assert refused.value.headers["Retry-After"]
        first.leave()
        first.leave()  # a second time changes nothing
        await turns()
        assert [each.done() for each in queue] == [True, False]
        assert compute.active == 1
        queue[0].result().leave()
        (await queue[1]).leave()
        assert (compute.active, compute.waiting) == (0, 0)

    asyncio.run(scenario())


def test_waiting_ends_after_its_time():
    async def scenario():
        compute = Compute(1, 2, 0.05)
        slot = await compute.take()
        with pytest.raises(Problem, match=r"0\.05 s"):
            await compute.take()
        assert compute.waiting == 0
        slot.leave()
        assert compute.active == 0

    asyncio.run(scenario())


def test_who_stops_waiting_takes_no_slot():
    async def scenario():
        compute = Compute(1, 2, 20)
        slot = await compute.take()
        given_up, patient = (asyncio.ensure_future(compute.take()) for _ in range(2))
        await turns()
        given_up.cancel()
        await turns()
        slot.leave()
        (await patient).leave()
        assert compute.active == 0

        slot = await compute.take()
        late = asyncio.ensure_future(compute.take())
        await turns()
        slot.leave()  # hands the slot over ...
        late.cancel()  # ... to somebody who is just leaving
        await turns()
        assert late.cancelled()
        assert compute.active == 0

    asyncio.run(scenario())


def test_a_slot_that_gets_no_thread_is_free_again():
    async def scenario():
        compute = Compute(1, 0, 1)
        slot = await compute.take()
        compute.join()
        with pytest.raises(RuntimeError, match="shutdown"):
            slot.start(lambda _: None)
        slot.leave()
        assert compute.active == 0

    asyncio.run(scenario())


def test_torch_uses_as_many_threads_as_set_and_only_there():
    async def scenario(count):
        return await Compute(2, 0, 1, torch_threads=count).run(lambda _: torch.get_num_threads())

    before = torch.get_num_threads()
    counts = (1, min(2, available_cores()))  # more are not to be had
    assert tuple(asyncio.run(scenario(count)) for count in counts) == counts
    assert torch.get_num_threads() == before


def test_errors_of_the_work_reach_the_caller_and_free_the_slot():
    async def scenario():
        compute = Compute(1, 0, 1)
        with pytest.raises(ZeroDivisionError):
            await compute.run(lambda _: 1 / 0)
        await turns()
        assert compute.active == 0

    asyncio.run(scenario())


def test_closing_stops_what_runs_and_refuses_what_waits():
    async def scenario():
        compute, gate = Compute(1, 5, 20), Gate()
        running = asyncio.ensure_future(compute.run(gate.work))
        await entered(gate)
        waiting = asyncio.ensure_future(compute.take())
        await turns()
        compute.close()
        with pytest.raises(Problem, match="stopping"):
            await waiting
        with pytest.raises(Problem, match="stopping"):
            await compute.take()
        gate.open.set()
        assert await running is True  # should_stop() was true

    asyncio.run(scenario())


class Connection:
    """What ``while_connected`` needs of a request."""

    def __init__(self):
        self.messages = asyncio.Queue()

    async def receive(self):
        return await self.messages.get()


def test_work_is_cancelled_when_the_client_goes():
    async def scenario():
        connection, cancelled = Connection(), asyncio.Event()

        async def work():
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        waiting = asyncio.ensure_future(while_connected(connection, work()))
        await turns()
        connection.messages.put_nowait({"type": "http.request"})
        await turns()
        assert not waiting.done()
        connection.messages.put_nowait({"type": "http.disconnect"})
        with pytest.raises(ClientGone):
            await waiting
        assert cancelled.is_set()

    asyncio.run(scenario())


def test_the_result_of_work_for_a_client_who_stays():
    async def scenario():
        async def work():
            return 3

        assert await while_connected(Connection(), work()) == 3

    asyncio.run(scenario())
