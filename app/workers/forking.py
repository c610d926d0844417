"""The fork server: a process that has everything loaded and forks a worker whenever it is asked to.

It is forked from the program itself where that has one thread, before it serves, so that both
share what is loaded; elsewhere it is a program of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from layerscope.app.workers.process import work_for

__all__ = ["PROGRAM", "ForkServer", "serve_forks"]

PROGRAM = (sys.executable, "-m", "layerscope.app.preload")
"""Loads everything, then calls `serve_forks`; the number of its channel is its argument."""
NICER = 5
"""How much later a worker has its turn than who answers requests."""
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class ForkServer:
    """The web process's end of a fork server, which ends when this end is closed or lost.

    Args:
        channel: over which it is asked.
        process: the program, where it is one.
    """

    def __init__(
        self, channel: socket.socket, process: subprocess.Popen[bytes] | None = None
    ) -> None:
        self._channel, self._process = channel, process

    @classmethod
    def start(cls, program: Sequence[str] | None = None) -> ForkServer:
        """A program of its own, `PROGRAM` by default: from a process that has threads."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [*(program or PROGRAM), str(theirs.fileno())], stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )  # fmt: skip
        return cls(ours, process)

    @classmethod
    def fork(cls, prepare: Callable[[], object]) -> ForkServer:
        """A fork of this process, which must have one thread; it calls ``prepare`` first."""
        ours, theirs = socket.socketpair()
        gc.freeze()  # what is loaded is shared as long as nobody writes to it
        if not os.fork():
            try:
                ours.close()
                _end_with_parent()
                _close_all_but(theirs.fileno())
                prepare()
                serve_forks(theirs)
            finally:  # it must never go on as what it was forked from
                traceback.print_exc()
                os._exit(1)
        theirs.close()
        return cls(ours)

    def worker(self) -> socket.socket:
        """A new worker's connection; it tells there when it is ready, and is closed where it fails.

        Errors: ``OSError`` when the fork server has ended.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            socket.send_fds(self._channel, [b"w"], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def close(self) -> None:
        """End it, and with it every worker."""
        self._channel.close()
        if self._process is not None:
            self._process.kill()  # it may not listen yet
            self._process.wait()


def serve_forks(channel: socket.socket) -> None:
    """Fork a worker for each connection that comes over ``channel``; never returns."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the web process hears them, and closes its end
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a worker that has ended
    gc.collect()
    _give_back()
    gc.freeze()
    while True:
        message, received, _, _ = socket.recv_fds(channel, 1, 1)
        if not message:
            os._exit(0)
        (connection,) = received
        if not os.fork():
            _end_with_parent()
            os.nice(NICER)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            channel.close()
            with contextlib.suppress(KeyboardInterrupt):
                work_for(socket.socket(fileno=connection))
            os._exit(0)
        os.close(connection)


def _give_back() -> None:
    """What was freed while everything was loaded and run once, to the system; with glibc only."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def _end_with_parent() -> None:
    """A computation that takes minutes must not outlive the server; on Linux only."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _close_all_but(kept: int) -> None:
    """The listening socket above all: it would stay bound as long as this process lives."""
    standard = {0, 1, 2}
    for number in {int(path.name) for path in Path("/dev/fd").iterdir()} - standard - {kept}:
        with contextlib.suppress(OSError):
            os.close(number)
