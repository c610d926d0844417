"""What a server of its own does under requests that are meant to hold it.

    python -m benchmarks.trust [--soak 300]

Memory of the idle server with its workers, shared pages counted once; the two requests that used to
take all there was; five hundred streams that are dropped; what a second client waits beside two
computations that never ask whether to stop, let in by a limit that is lifted; workers killed amid a
stream; SIGTERM in the middle; a hundred clients with churn, four of which take no byte of what they
asked for, and how long ``/healthz`` takes beside them. Prints a Markdown table for docs/trust.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from benchmarks.trust_clients import crowd, heavy_loops

URL = "/api/v1/experiment"
UNASKED = "dtype=float16&depth=1&width=4096&inputs=4096&batch=3900"
"""One layer of half precision: minutes in one call of torch."""
UNDERESTIMATED = "depth=1&width=4096&inputs=1&batch=52000"
"""Thirteen gigabytes with a check against autograd by one graph of the whole network."""
LIGHT = 30
HEAVY = 24
STREAMS = 500
MIB = 2**20
PROBE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
BARE = """
import sys, uvicorn

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})

uvicorn.run(app, fd=int(sys.argv[1]), log_level="error", access_log=False, lifespan="off")
"""


@contextmanager
def server(**settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server with the default settings but these, ready."""
    program = "from layerscope.app.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "serve", "--port", "0"],
        stderr=subprocess.PIPE, text=True,
        env={**os.environ, "LAYERSCOPE_LOG_FORMAT": "json", **settings},
    )  # fmt: skip
    lines, address = process.stderr or (), re.compile(r"http://127\.0\.0\.1:\d+")
    try:
        url = next(found[0] for line in lines if (found := address.search(line)))
        next(line for line in lines if '"ready"' in line)
        reader = threading.Thread(target=lambda: [None for _ in lines])
        reader.start()
        yield process, url
    finally:
        process.terminate()
        process.wait()
        reader.join()


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def resident(pid: int, field: str) -> int:
    """Bytes, by ``Pss`` with a shared page counted by its share, by ``Rss`` as a whole."""
    with suppress(OSError):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return 1024 * int(re.search(rf"^{field}:\s+(\d+)", rollup, re.MULTILINE)[1])  # type: ignore[index]
    return 0


def hold(url: str, seconds: float) -> threading.Thread:
    """Two clients that begin what never asks whether to stop, and leave."""

    def ask() -> None:
        with (
            suppress(httpx.HTTPError),
            httpx.stream("GET", f"{url}{URL}/stream?{UNASKED}", timeout=seconds) as answer,
        ):
            for _ in answer.iter_lines():
                pass

    def both() -> None:
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    holding = threading.Thread(target=both)
    holding.start()
    return holding


def until_free(client: httpx.Client) -> float:
    """Seconds until no place is taken."""
    began = time.perf_counter()
    while client.get("/healthz").json()["computing"]:
        time.sleep(0.01)
    return time.perf_counter() - began


def row(what: str, figure: str) -> None:
    """A line of the table."""
    print(f"| {what} | {figure} |")


def idle(process: subprocess.Popen[str], client: httpx.Client) -> None:
    """Memory of who waits, and what a light client waits beside who must be killed."""
    client.get("/")
    time.sleep(3)
    memory = sum(resident(pid, "Pss") for pid in family(process.pid))
    row("idle server with its workers, shared pages once", f"{memory / MIB:.0f} MiB")


def refused(client: httpx.Client) -> None:
    """The two requests that used to take all there was."""
    for query in (UNASKED, UNDERESTIMATED):
        began = time.perf_counter()
        answer = client.get(f"{URL}?{query}")
        said = "" if answer.status_code == 200 else f", {answer.json()['detail'][:60]}…"
        row(f"`{query}`", f"{answer.status_code} after {time.perf_counter() - began:.2f} s{said}")


def beside(process: subprocess.Popen[str], url: str, client: httpx.Client) -> None:
    """A light client beside two that never ask whether to stop, and are left after three seconds;
    then a process that is killed amid a stream."""
    holding, seconds = hold(url, 3.0), []
    for seed in range(LIGHT):
        began = time.perf_counter()
        client.get(URL, params={"seed": seed}).raise_for_status()
        seconds.append(time.perf_counter() - began)
    holding.join()
    row(f"{LIGHT} default experiments beside two that are not asked whether to stop",
        f"median {1e3 * sorted(seconds)[LIGHT // 2]:.0f} ms, "
        f"longest {1e3 * max(seconds):.0f} ms")  # fmt: skip
    row("their places free after they were left", f"{until_free(client):.2f} s")
    with client.stream("GET", f"{URL}/stream", params={"depth": 1000, "batch": 2000}) as some:
        lines = some.iter_lines()
        next(lines)
        for pid in family(process.pid)[2:]:
            os.kill(pid, signal.SIGKILL)
        told = "a problem" if "event: problem" in list(lines) else "nothing"
    began = time.perf_counter()
    while (status := client.get(URL, params={"depth": 3}).status_code) == 503:
        time.sleep(0.05)
    row("every worker killed amid a stream: its client is told, the next request is answered",
        f"{told}; {status} after {time.perf_counter() - began:.2f} s")  # fmt: skip


def fair(port: int, client: httpx.Client) -> None:
    """A light client beside another that asks for as much as it can, again and again."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        alone = _light(client, 0)
        loops = pool.submit(heavy_loops, port, HEAVY, 30.0)
        time.sleep(3)
        beside = _light(client, LIGHT)
        answers = loops.result()
    row(f"{LIGHT} default experiments of one client alone", distribution(alone))
    row(f"the same beside {HEAVY} loops of heavy requests of another, who got {dict(answers)}",
        distribution(beside))  # fmt: skip


def _light(client: httpx.Client, seed: int) -> list[float]:
    """Milliseconds of each to its summary: what comes after it are fixes."""
    waits = []
    for each in range(seed, seed + LIGHT):
        began = time.perf_counter()
        with client.stream("GET", f"{URL}/stream", params={"seed": each}) as answer:
            if answer.status_code == 200:
                next(line for line in answer.iter_lines() if line == "event: summary")
            else:
                raise RuntimeError(f"a light client was refused: {answer.status_code}")
        waits.append(1e3 * (time.perf_counter() - began))
    return waits


def dropped(client: httpx.Client) -> None:
    """Streams that are left after their first event."""
    for seed in range(STREAMS):
        with client.stream("GET", f"{URL}/stream", params={"depth": 100, "seed": seed}) as some:
            next(some.iter_lines())
    row(f"{STREAMS} streams dropped after their first event: places free after",
        f"{until_free(client):.2f} s")  # fmt: skip


@contextmanager
def bare() -> Iterator[int]:
    """The port of an application that says one word, on the same uvicorn: what the machine and the
    other programs on it add to every answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, "-c", BARE, str(listener.fileno())], pass_fds=[listener.fileno()]
        )
        try:
            asked(listener.getsockname()[1])
            yield listener.getsockname()[1]
        finally:
            process.terminate()
            process.wait()


def asked(port: int) -> float:
    """Milliseconds of a probe, from its connection to its end."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(PROBE)
        while connection.recv(65536):
            pass
    return 1e3 * (time.perf_counter() - began)


def distribution(waits: list[float]) -> str:
    """Its median, its 99th percentile and its end."""
    waits = sorted(waits)
    return (
        f"median {waits[len(waits) // 2]:.1f} ms, p99 {waits[int(0.99 * len(waits))]:.0f} ms, "
        f"longest {waits[-1]:.0f} ms"
    )


def soak(process: subprocess.Popen[str], port: int, seconds: float) -> None:
    """A hundred clients with churn, each from an address of its own; `/healthz` beside them, asked
    from a process of its own, and in turn an application that does nothing."""
    waits: list[float] = []
    beside: list[float] = []
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool, bare() as other:
        pool.submit(crowd, port, 100, max(20.0, seconds / 5)).result()
        before = sum(resident(pid, "Rss") for pid in family(process.pid))
        running = pool.submit(crowd, port, 100, seconds, 1)
        while not running.done():
            waits.append(asked(port))
            time.sleep(0.02)
            beside.append(asked(other))
            time.sleep(0.02)
        seen = running.result()
    after = sum(resident(pid, "Rss") for pid in family(process.pid))
    row(
        f"100 clients with churn for {seconds:.0f} s: answers, streams",
        str(dict(sorted(seen.items()))),
    )
    row("lost or mixed events", f"{seen['lost']}, {seen['mixed']}")
    row("memory after, of what it was after warming up", f"{after / before:.3f}")
    row(f"`/healthz` beside them, {len(waits)} times", distribution(waits))
    row("a bare application beside it, as often", distribution(beside))


def stopped() -> None:
    """SIGTERM in the middle of what is not asked whether to stop."""
    with server(LAYERSCOPE_MAX_FLOPS="1e15") as (process, url):
        holding = hold(url, 30.0)
        time.sleep(1)
        began, every = time.perf_counter(), family(process.pid)
        process.send_signal(signal.SIGTERM)
        process.wait()
        ended = time.perf_counter() - began
        holding.join()
        row(f"SIGTERM in the middle of both: {len(every)} processes gone after", f"{ended:.2f} s")


def one_after_the_other() -> None:
    """All but the hundred clients, each on a server of its own."""
    with server() as (process, url), httpx.Client(base_url=url, timeout=120) as client:
        idle(process, client)
        refused(client)
        dropped(client)
        fair(int(url.rpartition(":")[2]), client)
    with (
        server(LAYERSCOPE_MAX_FLOPS="1e15") as (process, url),
        httpx.Client(base_url=url, timeout=120) as client,
    ):
        beside(process, url, client)
    stopped()


def main() -> None:
    """Everything, on one server after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--soak", type=float, default=30.0, help="seconds of a hundred clients")
    parser.add_argument("--only", action="store_true", help="only these")
    given = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| what | measured |\n|---|---|")
    if not given.only:
        one_after_the_other()
    with server() as (process, url):
        soak(process, int(url.rpartition(":")[2]), given.soak)
    print(f"\nload after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
