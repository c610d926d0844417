"""Interpreters that have torch loaded already, for tests of whole programs.

One process imports the heavy packages, and nothing of ours, and forks for every program that it is
given: what a program imports of Layerscope it imports anew, from where its own path says.
"""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import IO, Any, NamedTuple

HEAVY = (
    "torch",
    "numba",
    "scipy.optimize",
    "uvicorn",
    "typer.rich_utils",
    "fastapi",
)
SECONDS = 200.0


class Interpreter:
    """Runs programs one after another, each in a process of its own."""

    def __init__(self, channel: Connection, server: int) -> None:
        self._channel, self._server = channel, server

    def run(
        self,
        *arguments: object,
        cwd: str | Path | None = None,
        env: Mapping[str, str] = os.environ,
        stdout: IO[Any] | int | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """As ``subprocess.run([sys.executable, *arguments])``, its output captured as text.

        Args:
            arguments: ``-W ACTION`` if wanted, then ``-c TEXT`` or a file, then the program's own.
            stdout: where its output goes instead of into the result.
        """
        with ExitStack() as opened:
            out, err = (opened.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2))
            self._channel.send([list(map(str, arguments)), str(cwd or Path.cwd()), dict(env)])
            for target in (out if stdout is None else stdout, err):
                number = target if isinstance(target, int) else target.fileno()
                send_handle(self._channel, number, self._server)
            program: int = self._channel.recv()
            if not self._channel.poll(SECONDS):
                os.kill(program, signal.SIGKILL)
            code: int = self._channel.recv()
            texts = [(file.seek(0), file.read())[1] for file in (out, err)]
        return subprocess.CompletedProcess(list(arguments), code, *texts)


@contextmanager
def interpreter(command: Sequence[str]) -> Iterator[Interpreter]:
    """An `Interpreter`, ended with the block; ``command`` calls `load` and `serve_programs`."""
    ours, theirs = multiprocessing.Pipe()
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONWARNINGS")}
    server = subprocess.Popen(
        [*command, str(theirs.fileno())],
        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=clean,
    )  # fmt: skip
    theirs.close()
    try:
        yield Interpreter(ours, server.pid)
    finally:
        ours.close()
        server.wait()


class _Program(NamedTuple):
    arguments: Sequence[str]
    folder: str
    environment: Mapping[str, str]


def _next_program(channel: Connection) -> _Program | None:
    """Fork for each program that is asked for: it in the child, None in the parent at the end."""
    while True:
        try:
            program = _Program(*channel.recv())
        except EOFError:
            return None
        targets = [recv_handle(channel) for _ in range(2)]
        child = os.fork()
        if not child:
            for number, target in enumerate(targets, 1):
                os.dup2(target, number)
                os.close(target)
            channel.close()
            return program
        for target in targets:
            os.close(target)
        channel.send(child)
        channel.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _run(arguments: Sequence[str], folder: str, environment: Mapping[str, str]) -> None:
    """Become the program, in a process that is its own."""
    from numba.core import config

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    config.reload_config()
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    arguments = list(arguments)
    wanted = [w for w in environment.get("PYTHONWARNINGS", "").split(",") if w]
    while arguments[0] == "-W":
        wanted.append(arguments[1])
        del arguments[:2]
    warnings._processoptions(wanted)  # type: ignore[attr-defined]
    if arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path.insert(0, "")
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(arguments[1], "<string>", "exec"), main.__dict__)  # noqa: S102
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")


def load() -> None:
    """Load what is heavy."""
    for heavy in HEAVY:
        importlib.import_module(heavy)
    gc.freeze()  # what is loaded is never looked through again, in no program


def serve_programs(channel: socket.socket) -> None:
    """Run what is asked for over the channel; returns in each program, and at last."""
    if asked := _next_program(Connection(channel.detach())):
        _run(*asked)
