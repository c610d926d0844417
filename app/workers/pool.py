"""The web process's side: workers kept warm, lent to one computation at a time, replaced when lost.

Cancelling asks first and kills after a second; a computation that passes its time is killed too.
Whatever happens to a worker ends the one request that it worked for, and nothing else.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import pickle
import signal
import socket
import threading
from collections.abc import AsyncGenerator
from typing import Any

import structlog

from layerscope.app.workers.forking import ForkServer
from layerscope.app.workers.frames import HEADER, Kind, frame
from layerscope.app.workers.process import Task, restored
from layerscope.engine.execution.prices import use

__all__ = ["KILL_SECONDS", "OverTime", "Worker", "WorkerLost", "Workers"]

KILL_SECONDS = 1.0
"""How long a worker has to end what it was asked to stop."""
READ_BYTES = 1 << 16
"""At once: small frames are handed on one after the other before the loop is asked again."""
LARGE_BYTES = 1 << 20
"""At once, of a frame that is as large."""

log = structlog.stdlib.get_logger("layerscope.workers")


class WorkerLost(Exception):
    """The process that computed has died: killed from outside, or by the operating system."""


class OverTime(Exception):
    """The computation was killed because it took longer than it may."""


class Worker:
    """One process and the connection to it; of no event loop in particular."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self._task = 0
        self.busy = False
        """Whether a task was sent whose end has not come."""
        self.pid = 0
        """The process's number, known once it is ready."""
        self._process: int | None = None

    async def ready(self) -> Worker:
        """Wait until it waits for work; from then on costs are told at its prices.

        Errors: `WorkerLost`.
        """
        kind, self.pid, body = await self._frame()
        if kind != Kind.READY:
            raise WorkerLost(f"a new worker sent {kind.name}")
        use(pickle.loads(body))  # noqa: S301 - from our own worker
        if hasattr(os, "pidfd_open"):  # the number may be another process's by the time of a kill
            with contextlib.suppress(OSError):
                self._process = os.pidfd_open(self.pid)
        return self

    def gone(self) -> bool:
        """Whether the process has ended while it waited."""
        try:
            return not self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    async def run(self, task: Task, seconds: float) -> AsyncGenerator[Any]:
        """What the task's work yields; last what it returns, None of an iterator.

        Where the reader leaves early, `settle` must follow.

        Errors: what the work raises; `WorkerLost`; `OverTime`.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        self._task += 1
        body = pickle.dumps(task, 5)
        self.busy = True
        with contextlib.suppress(OSError):  # it has died: its end of the connection says so
            await loop.sock_sendall(self._connection, frame(Kind.WORK, self._task, body))
        while self.busy:
            try:
                async with asyncio.timeout_at(end):
                    kind, _, body = await self._frame()
            except TimeoutError:
                self.kill()
                raise OverTime(f"it was ended after {seconds:g} s") from None
            self.busy = kind == Kind.ITEMS
            told = pickle.loads(body)  # noqa: S301 - from our own worker
            if kind == Kind.ERROR:
                raise restored(told)
            for value in told if kind == Kind.ITEMS else (told,):
                yield value

    def stop(self) -> None:
        """Ask the work to end at its next step."""
        with contextlib.suppress(OSError):
            self._connection.send(frame(Kind.STOP, self._task))

    async def settle(self) -> None:
        """Wait for the end of a work that nobody reads on: it is asked to stop, then killed."""
        self.stop()
        try:
            async with asyncio.timeout(KILL_SECONDS):
                while self.busy:
                    self.busy = (await self._frame())[0] == Kind.ITEMS
        except (TimeoutError, WorkerLost):
            pass
        finally:
            if self.busy:
                self.kill()

    def kill(self) -> None:
        """End the process at once."""
        self.busy = False
        with contextlib.suppress(ProcessLookupError):
            if self._process is not None:
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            elif self.pid:
                os.kill(self.pid, signal.SIGKILL)
        if self._process is not None:
            os.close(self._process)
        self._process, self.pid = None, 0
        self._connection.close()

    async def _frame(self) -> tuple[Kind, int, bytes]:
        """The next one; who is cancelled meanwhile has taken no part of it."""
        loop = asyncio.get_running_loop()
        wanted = HEADER.size
        while True:
            if len(self._buffer) >= wanted:
                kind, number, size = HEADER.unpack_from(self._buffer)
                wanted = HEADER.size + size
                if len(self._buffer) >= wanted:
                    break
            try:
                missing = wanted - len(self._buffer)
                size = min(max(READ_BYTES, missing), LARGE_BYTES)
                more = await loop.sock_recv(self._connection, size)
            except OSError:
                more = b""
            if not more:
                lost = f"the process that computed, {self.pid}, ended unexpectedly"
                self.kill()
                raise WorkerLost(lost)
            self._buffer += more
        body = bytes(self._buffer[HEADER.size : wanted])
        del self._buffer[:wanted]
        return Kind(kind), number, body


class Workers:
    """Processes that wait for work, each forked when it is first needed.

    Args:
        fork_server: makes them; by default one for all pools of this process, started by the
            first that needs a worker.
    """

    def __init__(self, fork_server: ForkServer | None = None) -> None:
        self._server = fork_server
        self._all: set[Worker] = set()
        self._idle: list[Worker] = []
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """The numbers of all that live, for whoever watches or ends one from outside."""
        return [worker.pid for worker in self._all]

    def __del__(self) -> None:
        self.close()

    async def prepare(self, count: int) -> None:
        """Have so many wait for work.

        Errors: `WorkerLost` when the fork server could not start.
        """
        while len(self._all) < count and not self._closed:
            self._idle.append(await self._fork())

    async def lend(self) -> Worker:
        """One that waits for work, or a new one where none does; `take_back` must follow."""
        while self._idle:
            worker = self._idle.pop()
            if not worker.gone():
                return worker
            self._forget(worker)
        return await self._fork()

    def take_back(self, worker: Worker) -> bool:
        """Let it wait for the next work, if it is through; else `stop` must follow."""
        if worker.busy:
            return False
        if worker.pid and not self._closed:
            self._idle.append(worker)
        else:
            self._forget(worker)
        return True

    async def stop(self, worker: Worker) -> None:
        """End a work that nobody reads on, with its worker if need be: then there is a new one."""
        try:
            await worker.settle()
        finally:
            self.take_back(worker)
        if not worker.pid and not self._closed:
            log.warning("a worker that did not stop was ended")
            with contextlib.suppress(WorkerLost):
                self._idle.append(await self._fork())

    def close(self) -> None:
        """End all of them, now; none is forked again."""
        self._closed = True
        for worker in list(self._all):
            self._forget(worker)

    async def _fork(self) -> Worker:
        if self._closed:
            raise WorkerLost("the server is stopping")
        self._server = self._server or _shared()
        try:
            connection = self._server.worker()
        except OSError:  # it was killed
            self._server.close()
            self._server = _shared(instead_of=self._server)
            connection = self._server.worker()
        worker = Worker(connection)
        self._all.add(worker)
        try:
            return await worker.ready()
        except BaseException:
            self._forget(worker)
            raise

    def _forget(self, worker: Worker) -> None:
        worker.kill()
        self._all.discard(worker)


_lock = threading.Lock()
_servers: list[ForkServer] = []


def _shared(instead_of: ForkServer | None = None) -> ForkServer:
    """The fork server of this process, started by whoever needs it first."""
    with _lock:
        if not _servers or _servers[0] is instead_of:
            _servers[:] = [ForkServer.start()]
        return _servers[0]


@atexit.register
def _end_shared() -> None:
    while _servers:
        _servers.pop().close()
