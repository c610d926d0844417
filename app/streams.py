"""Engine events as server-sent events: computed in a thread, batched, cancelled on disconnect.

The thread serialises each record as soon as it is known; the event loop sends what has gathered
about every 16 ms, one frame of a screen. The first record of all is sent at once, and so is
whatever ends the wait: the summary, the check, the end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import groupby
from typing import Any

import orjson
import structlog
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

from layerscope.app.compute import Place
from layerscope.app.errors import Problem
from layerscope.engine.analyses.autograd_check import compare_with_autograd
from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.diagnosis.run import Summary, result, run
from layerscope.engine.execution.cost import cost
from layerscope.engine.experiment.specification import Experiment

__all__ = ["EventStream", "complete", "live_check"]

BATCH_SECONDS = 0.016
KEEPALIVE_SECONDS = 15.0
RETRY_MILLISECONDS = 2000
BATCHED = frozenset({"forward", "backward"})
PATIENT = BATCHED | {"finding"}
"""Events that wait for the next batch."""

log = structlog.stdlib.get_logger("layerscope.streams")
ShouldStop = Callable[[], bool]


def live_check(experiment: Experiment, max_flops: float, should_stop: ShouldStop) -> dict[str, Any]:
    """The comparison with autograd, or why there is none: it costs more than ``max_flops``."""
    flops = cost(experiment).flops
    if flops > max_flops:
        reason = (
            f"not checked: {flops:.3g} operations are over this server's limit of {max_flops:.3g} "
            "for a check"
        )
        return {"autograd_max_relative_error": None, "reason": reason}
    return compare_with_autograd(experiment, should_stop=should_stop).to_dict()


def complete(experiment: Experiment, check_max_flops: float, should_stop: ShouldStop) -> bytes:
    """The whole result as JSON: the same numbers as the stream's events carry."""
    whole = result(experiment, check=False, should_stop=should_stop)
    whole["check"] = live_check(experiment, check_max_flops, should_stop)
    return orjson.dumps(whole)


class EventStream(EventSourceResponse):
    """The response that runs an experiment and sends what happens.

    Args:
        experiment: what to run.
        place: where to run it; it is used as soon as the response starts.
        check_max_flops: the cost up to which gradients are checked against autograd.
        last_id: the ``id`` of the ``end`` event; a client that comes back with it got everything.
    """

    def __init__(
        self, experiment: Experiment, place: Place, *, check_max_flops: float, last_id: str
    ) -> None:
        self._experiment = experiment
        self._place = place
        self._check_max_flops = check_max_flops
        self._last_id = last_id
        self._loop = asyncio.get_running_loop()
        self._events: deque[tuple[str, bytes]] = deque()
        self._some = asyncio.Event()
        self._urgent = asyncio.Event()
        self._finished = False
        super().__init__(
            self._send_events(),
            headers={
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # nginx would hold the events back
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Whatever ended the response; a generator's own ``finally`` may come much later.
            self._place.stop()
            self._place.leave()

    def _compute(self) -> None:
        """Runs in the thread."""
        stopped = self._place.stopped
        try:
            for event in run(self._experiment, should_stop=stopped):
                self._put(event.event, orjson.dumps(event.to_dict()))
                if isinstance(event, Summary):  # before fixes are tried, which takes longer
                    check = live_check(self._experiment, self._check_max_flops, stopped)
                    self._put("check", orjson.dumps(check))
            self._put("end", b"{}")
        except Stopped:
            pass
        except Exception:
            log.exception("stream failed", experiment=self._experiment.to_query())
            problem = Problem(500, "Something went wrong in the server; its log has the details.")
            self._put("problem", orjson.dumps(problem.document))
        finally:
            self._finished = True
            self._wake(urgent=True)

    def _put(self, name: str, data: bytes) -> None:
        self._events.append((name, data))
        self._wake(urgent=name not in PATIENT)

    def _wake(self, *, urgent: bool) -> None:
        # Waking the loop costs a system call; a loop that already knows is left alone.
        if urgent or not self._some.is_set():
            self._loop.call_soon_threadsafe(self._set, urgent)

    def _set(self, urgent: bool) -> None:
        self._some.set()
        if urgent:
            self._urgent.set()

    async def _send_events(self) -> AsyncIterator[bytes]:
        self._place.start(self._compute)
        next_batch = 0.0
        while True:
            if not await _within(self._some, KEEPALIVE_SECONDS):
                yield KEEPALIVE_COMMENT
                continue
            await _within(self._urgent, next_batch - self._loop.time())
            self._some.clear()
            self._urgent.clear()
            finished = self._finished  # before the queue is emptied: nothing comes after it
            ready = [self._events.popleft() for _ in range(len(self._events))]
            if ready:
                yield b"".join(self._wire(ready))
            if finished:
                return
            if any(name in BATCHED for name, _ in ready):
                next_batch = self._loop.time() + BATCH_SECONDS

    def _wire(self, events: Iterable[tuple[str, bytes]]) -> Iterable[bytes]:
        """Server-sent events; layer records that follow each other share one."""
        for name, group in groupby(events, key=lambda event: event[0]):
            texts = [data.decode() for _, data in group]
            if name in BATCHED:
                yield format_sse_event(event=name, data_str=f'{{"layers":[{",".join(texts)}]}}')
                continue
            for text in texts:
                yield format_sse_event(
                    event=name,
                    data_str=text,
                    id=self._last_id if name == "end" else None,
                    retry=RETRY_MILLISECONDS if name == "start" else None,
                )


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for ``event``, at most so long; whether it came."""
    if event.is_set() or seconds <= 0:
        return event.is_set()
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
