"""A server whose workers are killed, held up and flooded: what else is asked is answered."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from layerscope.app.workers.forking import ForkServer
from tests.browser.serving import serving
from tests.serving import RunningServer, wait_until

pytestmark = pytest.mark.slow

URL = "/api/v1/experiment"
SLOW = {"depth": 200, "width": 700, "batch": 500}
"""Seconds of work, within the default limit."""
UNASKED = {"depth": 1, "width": 4096, "inputs": 4096, "batch": 3900, "dtype": "float16"}
"""One layer that computes for minutes and is not asked meanwhile whether it should stop."""


def gone(pid: int) -> bool:
    """Also where nobody has asked yet how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def computing(server: RunningServer) -> Iterator[int]:
    """Workers that have a computation."""
    return (place.worker.pid for place in server.compute._places if place.worker is not None)


def test_a_worker_that_is_killed_ends_its_stream_with_a_problem(serve: Any, until: Any) -> None:
    with serve(max_concurrent=2, max_flops=1e15) as server:
        with server.client.stream("GET", f"{URL}/stream", params=SLOW) as response:
            lines = response.iter_lines()
            assert next(lines) == "event: start"
            (pid,) = computing(server)
            os.kill(pid, signal.SIGKILL)
            rest = "\n".join(lines)
        assert "event: problem" in rest
        assert "/docs#problem-lost" in rest
        assert "event: end" not in rest
        assert server.client.get(URL, params={"depth": 2}).status_code == 200
        assert pid not in server.compute.workers.pids


def test_what_is_not_asked_is_ended_when_its_client_goes(
    serve: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layerscope.app.workers.pool.KILL_SECONDS", 0.1)
    with serve(max_concurrent=2, max_flops=1e15) as server:
        for _ in range(2):
            with server.client.stream("GET", f"{URL}/stream", params=UNASKED) as response:
                assert next(response.iter_lines()) == "event: start"
        until(lambda: server.compute.active == 0)
        assert server.client.get(URL, params={"depth": 2}).status_code == 200


@contextmanager
def looping(server: RunningServer, clients: int, address: str) -> Iterator[None]:
    """So many connections from ``address`` that ask for slow experiments again and again."""
    over = threading.Event()

    def loop(seed: int) -> None:
        transport = httpx.HTTPTransport(local_address=address)
        with httpx.Client(base_url=server.url, transport=transport, timeout=None) as client:  # noqa: S113 - the server ends it
            while not over.is_set():
                params = SLOW | {"seed": seed}
                with client.stream("GET", f"{URL}/stream", params=params) as response:
                    for _ in response.iter_lines():
                        if over.is_set():
                            break

    threads = [threading.Thread(target=loop, args=[seed]) for seed in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_one_client_does_not_keep_another_from_its_answers(serve: Any, until: Any) -> None:
    with serve(max_concurrent=1, max_wait_seconds=1000.0, max_flops=1e15) as server:
        with looping(server, 6, "127.0.0.2"):
            until(lambda: server.compute.waiting == 5)
            for seed in range(3):
                heavy = server.client.get(URL, params={"depth": 30, "width": 500, "seed": seed})
                assert heavy.status_code == 200
            assert server.client.get("/foundations/neuron").status_code == 200
            assert server.compute.waiting >= 4, "they waited for it"
        until(lambda: server.compute.active == 0)


def test_a_stopped_server_leaves_nothing_behind() -> None:
    """Also where a worker computes and nobody asks it to stop."""
    program = "from layerscope.app.cli import main; main()"
    server = subprocess.Popen(
        [sys.executable, "-c", program, "serve", "--port", "0"],
        stderr=subprocess.PIPE, text=True,
        env={**os.environ, "LAYERSCOPE_WARM_UP": "false", "LAYERSCOPE_MAX_FLOPS": "1e15"},
    )  # fmt: skip
    assert server.stderr is not None
    try:
        address = re.compile(r"http://127\.0\.0\.1:\d+")
        url = next(found[0] for line in server.stderr if (found := address.search(line)))
        with httpx.stream("GET", f"{url}{URL}/stream", params=UNASKED, timeout=60) as response:
            assert next(response.iter_lines()) == "event: start"
            family = children(server.pid)
            assert len(family) >= 2, "the fork server and a worker"
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    finally:
        server.kill()
        server.communicate()
    assert server.returncode in (0, -signal.SIGTERM)
    wait_until(lambda: all(map(gone, family)))


def children(pid: int) -> list[int]:
    """All descendants."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *children(child)]
    return found


def test_a_fork_server_that_is_gone_is_replaced(serve: Any) -> None:
    lost = ForkServer.start([sys.executable, "-c", "raise SystemExit"])
    lost._process.wait()  # type: ignore[union-attr]
    with serve(lost) as server:
        assert server.client.get(URL, params={"depth": 2}).status_code == 200


def test_served_by_uvicorn_alone_it_works_the_same() -> None:
    with serving(warm_up="false") as url:
        assert httpx.get(f"{url}{URL}?depth=2", timeout=120).status_code == 200
