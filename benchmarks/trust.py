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

from benchmarks.trust_clients import crowd

URL = "/api/v1/experiment"
UNASKED = "dtype=float16&depth=1&width=4096&inputs=4096&batch=3900"
"""One layer of half precision: minutes in one call of torch."""
UNDERESTIMATED = "depth=1&width=4096&inputs=1&batch=52000"
"""Thirteen gigabytes with a check against autograd by one graph of the whole network."""
LIGHT = 30
STREAMS = 500
MIB = 2**20
PROBE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


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
    for asked in (UNASKED, UNDERESTIMATED):
        began = time.perf_counter()
        answer = client.get(f"{URL}?{asked}")
        said = "" if answer.status_code == 200 else f", {answer.json()['detail'][:60]}…"
        row(f"`{asked}`", f"{answer.status_code} after {time.perf_counter() - began:.2f} s{said}")


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


def dropped(client: httpx.Client) -> None:
    """Streams that are left after their first event."""
    for seed in range(STREAMS):
        with client.stream("GET", f"{URL}/stream", params={"depth": 100, "seed": seed}) as some:
            next(some.iter_lines())
    row(f"{STREAMS} streams dropped after their first event: places free after",
        f"{until_free(client):.2f} s")  # fmt: skip


def soak(process: subprocess.Popen[str], port: int, seconds: float) -> None:
    """A hundred clients with churn; `/healthz` beside them, asked from a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(crowd, port, 100, max(20.0, seconds / 5)).result()
        before = sum(resident(pid, "Rss") for pid in family(process.pid))
        running = pool.submit(crowd, port, 100, seconds, 1)
        waits = []
        while not running.done():
            began = time.perf_counter()
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(PROBE)
                while connection.recv(65536):
                    pass
            waits.append(1e3 * (time.perf_counter() - began))
            time.sleep(0.02)
        seen = running.result()
    after = sum(resident(pid, "Rss") for pid in family(process.pid))
    waits.sort()
    row(
        f"100 clients with churn for {seconds:.0f} s: answers, streams",
        str(dict(sorted(seen.items()))),
    )
    row("lost or mixed events", f"{seen['lost']}, {seen['mixed']}")
    row("memory after, of what it was after warming up", f"{after / before:.3f}")
    row(f"`/healthz` beside them, {len(waits)} times",
        f"median {waits[len(waits) // 2]:.1f} ms, p99 {waits[int(0.99 * len(waits))]:.0f} ms, "
        f"longest {waits[-1]:.0f} ms")  # fmt: skip


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


def main() -> None:
    """Everything, on one server after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--soak", type=float, default=30.0, help="seconds of a hundred clients")
    asked = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| what | measured |\n|---|---|")
    with server() as (process, url), httpx.Client(base_url=url, timeout=120) as client:
        idle(process, client)
        refused(client)
        dropped(client)
    with (
        server(LAYERSCOPE_MAX_FLOPS="1e15") as (process, url),
        httpx.Client(base_url=url, timeout=120) as client,
    ):
        beside(process, url, client)
    stopped()
    with server() as (process, url):
        soak(process, int(url.rpartition(":")[2]), asked.soak)
    print(f"\nload after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
