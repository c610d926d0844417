"""What several tests share: a real server in a thread, with whatever settings a test needs."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from layerscope.app.compute import Compute
from layerscope.app.connections import protocol
from layerscope.app.logs import configure
from layerscope.app.main import create_app
from layerscope.app.settings import Settings
from layerscope.app.workers import forking
from layerscope.app.workers.forking import ForkServer
from tests import shared, working
from tests.asking import AppClient

configure("error", "text")
forking.PROGRAM = shared.command("workers")


@dataclass(frozen=True)
class RunningServer:
    """A server that listens on ``url``, and the application it runs."""

    url: str
    app: FastAPI
    client: httpx.Client
    loop: asyncio.AbstractEventLoop
    answering: list[str]
    """The paths of the requests that it has begun to answer and not ended."""

    @property
    def compute(self) -> Compute:
        return self.app.state.compute

    @contextmanager
    def occupied(self, folder: Path, *, quick: bool = False) -> Iterator[None]:
        """One place is taken in the block."""
        folder.mkdir()
        run = self.compute.run(partial(working.gated, folder), quick=quick)
        running = asyncio.run_coroutine_threadsafe(run, self.loop)
        wait_until((folder / "entered").exists)
        try:
            yield
        finally:
            (folder / "open").touch()
            running.result()


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Return once ``condition()`` holds, a tenth late at most; fail when it does not in time."""
    start = time.monotonic()
    while not condition():
        waited = time.monotonic() - start
        assert waited < seconds, "the condition did not come true in time"
        # who asks again and again takes the processor from whom it waits for
        threading.Event().wait(min(max(0.002, waited / 10), 0.05))


@contextmanager
def running_server(
    fork_server: ForkServer | None = None, **settings: Any
) -> Iterator[RunningServer]:
    """A server on a free port of 127.0.0.1, warmed up."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    chosen = Settings(port=port, **settings)
    app = create_app(chosen, fork_server)
    answering: list[str] = []

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path:  # a lifespan has none
            answering.append(path)
        try:
            await app(scope, receive, send)
        finally:
            if path:
                answering.remove(path)

    config = uvicorn.Config(
        answered, http=protocol(chosen), ws="none", log_config=None, access_log=False,
        server_header=False, timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = uvicorn.Server(config)
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve([listener])

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            wait_until(lambda: server.started)
            wait_until(lambda: app.state.readiness.state != "starting", 240)
            assert client.get("/healthz").status_code == 200
            yield RunningServer(url, app, client, loops[0], answering)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """One server for all tests that do not change it."""
    with running_server() as running:
        yield running


@pytest.fixture(scope="session")
def altered() -> Iterator[ForkServer]:
    """Makes workers in which everything of `tests.additions` is registered."""
    program = (
        "import socket, sys, tests.additions, tests.depth_alone, layerscope.app.main\n"
        "from layerscope.app.workers.forking import serve_forks\n"
        "serve_forks(socket.socket(fileno=int(sys.argv[-1])))"
    )
    started = ForkServer.start([sys.executable, "-c", program])
    yield started
    started.close()


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every work that is given to a worker, in order."""
    given: list[Any] = []
    stream = Compute.stream

    def recorded(self: Compute, work: Any, *others: Any, **named: Any) -> Any:
        given.append(work)
        return stream(self, work, *others, **named)

    monkeypatch.setattr(Compute, "stream", recorded)
    return given


@pytest.fixture(scope="session")
def serve() -> Callable[..., Any]:
    """``with serve(max_concurrent=1) as server:`` for tests that need their own."""
    return running_server


@pytest.fixture
def ask() -> Callable[..., AppClient]:
    """``ask(token=…)`` is a client of an application with these settings, without a socket."""

    def client(
        base_url: str = "http://localhost:8000", address: str = "127.0.0.1", **settings: Any
    ) -> AppClient:
        return AppClient(create_app(Settings(warm_up=False, **settings)), base_url, address)

    return client


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """``until(condition)`` waits for a condition instead of for a time."""
    return wait_until
