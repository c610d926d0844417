"""Processes that take seconds to load, one of a kind for all test processes of a run.

Each forks for whoever asks, as if it had been started for them: ``command(kind)`` is a program that
takes the number of a channel as its last argument and lives as long as its fork does.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]


def command(kind: str) -> tuple[str, ...]:
    """The program of a kind, ``workers`` or ``programs``, shared within this run of the tests."""
    run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    return (sys.executable, "-P", __file__, kind, str(run))


def _workers() -> Callable[[socket.socket], object]:
    from layerscope.app.preload import prepare
    from layerscope.app.workers.forking import serve_forks

    prepare()
    sys.path.insert(0, str(TOP))  # works of the tests are functions of `tests.working`
    return serve_forks


def _programs() -> Callable[[socket.socket], object]:
    # not as `tests.interpreter`: a program may have a `tests` of its own
    found = importlib.util.spec_from_file_location("interpreter", TOP / "tests" / "interpreter.py")
    assert found and found.loader
    interpreter = importlib.util.module_from_spec(found)
    found.loader.exec_module(interpreter)
    interpreter.load()
    return interpreter.serve_programs  # type: ignore[no-any-return]


KINDS = {"workers": _workers, "programs": _programs}


def _ask(kind: str, run: int, channel: int) -> None:
    """Have the process of this kind, started by whoever comes first, serve the channel."""
    address = Path(tempfile.gettempdir()) / f"layerscope-tests-{run}-{kind}"
    connection = socket.socket(socket.AF_UNIX)
    with address.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            connection.connect(str(address))
        except (FileNotFoundError, ConnectionRefusedError):
            address.unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(address))
                listener.listen()
                number = listener.fileno()
                subprocess.Popen(  # nobody waits for it: it ends with the run
                    [sys.executable, "-P", __file__, kind, str(run), str(number), "serve"],
                    pass_fds=[number],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            connection.connect(str(address))
    socket.send_fds(connection, [b"."], [channel])
    os.close(channel)
    connection.recv(1)  # nothing comes: it is closed when the fork has ended


def _serve(kind: str, run: int, listener: socket.socket) -> None:
    """Fork for each connection, as long as the run of the tests lasts."""
    with listener, selectors.DefaultSelector() as events:
        address = Path(listener.getsockname())
        events.register(listener, selectors.EVENT_READ)
        events.register(os.pidfd_open(run), selectors.EVENT_READ)
        serve = KINDS[kind]()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while [key.fileobj for key, _ in events.select()] == [listener]:
            connection, _ = listener.accept()
            _, (channel,), _, _ = socket.recv_fds(connection, 1, 1)
            if not os.fork():
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                serve(socket.socket(fileno=channel))
                return
            os.close(channel)
            connection.close()
        address.unlink(missing_ok=True)
        address.with_suffix(".lock").unlink(missing_ok=True)


if __name__ == "__main__":
    kind, run, number, *rest = sys.argv[1:]
    if rest:
        _serve(kind, int(run), socket.socket(fileno=int(number)))
    else:
        _ask(kind, int(run), int(number))
