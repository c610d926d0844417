"""What a worker does: waits for work, sends what it yields as soon as it is known, or is ended."""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import select
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from layerscope.app.workers.frames import HEADER, Kind, frame
from layerscope.engine.basis.cancellation import ShouldStop, Stopped
from layerscope.engine.basis.cores import keep_to_cores
from layerscope.engine.execution.memory import keep_large_apart
from layerscope.engine.execution.prices import prices

__all__ = ["OverMemory", "Task", "restored", "work_for"]

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
GATHER_SECONDS = 0.008
"""For which items that may wait gather: half a frame of a screen. A frame of its own for each would
cost the web process more than the work does that yields it."""


class OverMemory(Exception):
    """The computation would have held more memory than it may."""


@dataclass(frozen=True, slots=True)
class Task:
    """One computation, as it is sent to a worker.

    Args:
        work: called with ``should_stop``; a module's function, its arguments bound by
            ``functools.partial``. What it returns is the result; what an iterator yields is sent
            one by one.
        memory_bytes: how much more than now the process may hold while it works.
        torch_threads: how many threads torch uses for it.
        patient: whether an item may wait a moment for others; a module's function.
    """

    work: Callable[[ShouldStop], Any]
    memory_bytes: int
    torch_threads: int = 1
    patient: Callable[[Any], bool] | None = None


def work_for(connection: socket.socket) -> None:
    """Work for the web process at the other end until it closes its end."""
    with connection, contextlib.suppress(OSError, EOFError):
        keep_large_apart()
        connection.sendall(frame(Kind.READY, os.getpid(), pickle.dumps(prices(), 5)))
        worker = _Worker(connection)
        while True:
            worker.work_once()


class _Worker:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._number = 0
        self._stopped = False

    def work_once(self) -> None:
        """One task, from its frame to its last."""
        kind, self._number, body = self._receive()
        if kind != Kind.WORK:  # asked to stop just after it was through
            return
        self._stopped = False
        try:
            task: Task = pickle.loads(body)  # noqa: S301 - from our own web process
            keep_to_cores(task.torch_threads)
            with _memory_ceiling(task.memory_bytes):
                self._send(Kind.RESULT, self._done(task))
        except (OSError, EOFError):
            raise
        except BaseException as error:
            self._send(Kind.ERROR, _portable(error))

    def _done(self, task: Task) -> Any:
        outcome = task.work(self._should_stop)
        if not isinstance(outcome, Iterator):
            return outcome
        gathered: list[Any] = []
        sent = 0.0
        try:
            for item in outcome:
                gathered.append(item)
                waits = task.patient is not None and task.patient(item)
                if not waits or time.monotonic() - sent > GATHER_SECONDS:
                    several, gathered = gathered, []
                    self._send(Kind.ITEMS, several)
                    sent = time.monotonic()
        finally:
            if gathered:
                self._send(Kind.ITEMS, gathered)
        return None

    def _should_stop(self) -> bool:
        while not self._stopped and self._poll.poll(0):
            kind, number, _ = self._receive()
            self._stopped = kind == Kind.STOP and number == self._number
        return self._stopped

    def _send(self, kind: Kind, value: Any) -> None:
        self._connection.sendall(frame(kind, self._number, pickle.dumps(value, 5)))

    def _receive(self) -> tuple[Kind, int, bytes]:
        kind, number, length = HEADER.unpack(self._exactly(HEADER.size))
        return Kind(kind), number, self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        body = bytearray()
        while len(body) < size:
            more = self._connection.recv(min(size - len(body), 1 << 20))
            if not more:
                raise EOFError("the web process is gone")
            body += more
        return bytes(body)


@contextlib.contextmanager
def _memory_ceiling(more: int) -> Iterator[None]:
    """Lets the operating system refuse what exceeds today's private memory by ``more`` bytes.

    Errors: `OverMemory` instead of the allocators' own, of which torch has no type.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    ceiling = _private_bytes() + more
    if hard != resource.RLIM_INFINITY:
        ceiling = min(ceiling, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (ceiling, hard))
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "alloc" not in str(error):
            raise
        raise OverMemory(f"it would have held more than {more:.3g} bytes") from None
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _private_bytes() -> int:
    """What the limit counts: writable private mappings and the heap, ``VmData``."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - quicker
        return int(file.read().split()[5]) * PAGE_BYTES


def _portable(error: BaseException) -> tuple[Any, ...]:
    """The error as what it is made of, because few survive being pickled themselves.

    Where it was raised is lost on the way, so a note tells it, for the log.
    """
    if not isinstance(error, Stopped):
        error.add_note("".join(traceback.format_exception(error)))
    cause = None if error.__cause__ is None else _portable(error.__cause__)
    parts = (type(error), error.args, error.__dict__, cause)
    try:
        pickle.loads(pickle.dumps(parts, 5))  # noqa: S301 - our own
    except Exception:
        said = (f"{type(error).__name__}: {error}",)
        return RuntimeError, said, {"__notes__": list(error.__notes__)}, None
    return parts


def restored(parts: tuple[Any, ...]) -> BaseException:
    """The error that a worker took apart, with its cause."""
    kind, arguments, state, cause = parts
    error: BaseException = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(state)
    error.__cause__ = None if cause is None else restored(cause)
    return error
