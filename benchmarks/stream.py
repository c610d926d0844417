"""From a stream's request to its first event, its first layer and its summary, over a real socket;
and how many whole streams a second a server gives.

    python -m benchmarks.stream [--repeats 40] [--beside 0]

Each request has a connection and a seed of its own; an engine run in this process, without any
server, comes between every two of them, as the ratio that a machine's speed drops out of.
``--beside`` keeps so many other streams running meanwhile. Prints milliseconds; then experiments a
second of as many clients as there are cores, and of as many processes that run nothing but the
engine, in turn. Exits with 1 when the median to the first event, or the ratio of the two, misses
its target.
"""

from __future__ import annotations

import argparse
import multiprocessing
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # beside us lies a statistics.py
from layerscope.engine.basis.cores import available_cores  # noqa: E402
from layerscope.engine.diagnosis.run import Forward, Summary, run  # noqa: E402
from layerscope.engine.experiment.specification import Experiment  # noqa: E402
from layerscope.engine.statistics import warm_up  # noqa: E402
from tests.browser.serving import serving  # noqa: E402

UNCOUNTED = 20  # meanwhile the server prepares what only some pages need
TARGET = 15.0  # milliseconds to the first event, when nothing else runs
SHARE = 0.85  # of the engine's experiments a second
ROUND_SECONDS = 6.0
ROUNDS = 3
MOMENTS = {"first event": b"event: start", "first layer": b"event: forward",
           "summary": b"event: summary"}  # fmt: skip


@contextmanager
def streaming(
    address: tuple[str, int], query: str, client: str = "127.0.0.1"
) -> Iterator[socket.socket]:
    """A connection of ``client`` on which the experiment of ``query`` was just asked for."""
    with socket.create_connection(address, source_address=(client, 0)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(
            f"GET /api/v1/experiment/stream?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        yield connection


def wire(address: tuple[str, int], query: str) -> dict[str, float]:
    """Milliseconds from before the connection until each of the moments is read."""
    began = time.perf_counter()
    read = b""
    found: dict[str, float] = {}
    with streaming(address, query) as connection:
        while len(found) < len(MOMENTS):
            piece = connection.recv(1 << 20)
            if not piece:
                raise RuntimeError(f"the stream ended after {read[-200:]!r}")
            now = (time.perf_counter() - began) * 1e3
            read += piece
            for name, mark in MOMENTS.items():
                if name not in found and mark in read:
                    found[name] = now
    return found


def engine(seed: int) -> dict[str, float]:
    """The same moments of the experiment itself."""
    began = time.perf_counter()
    found: dict[str, float] = {}
    for event in run(Experiment(seed=seed)):
        now = (time.perf_counter() - began) * 1e3
        found.setdefault("first event", now)
        if isinstance(event, Forward):
            found.setdefault("first layer", now)
        elif isinstance(event, Summary):
            found["summary"] = now
            break
    return found


def keep_busy(address: tuple[str, int], stop: threading.Event, seed: int) -> None:
    """One stream of default experiments after the other."""
    while not stop.is_set():
        seed += 1
        with streaming(address, f"seed={seed}") as connection:
            read = b""
            while b"event: end" not in read and not stop.is_set():
                read = read[-20:] + connection.recv(1 << 20)


def measure(repeats: int, beside: int) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """The moments of every stream, and of every engine run."""
    torch.set_num_threads(1)  # as the server does: with more, threads wait for busy cores
    warm_up()
    with serving() as url:
        address = ("127.0.0.1", urlsplit(url).port or 0)
        stop = threading.Event()
        others = [
            threading.Thread(target=keep_busy, args=(address, stop, 10_000_000 * (1 + i)))
            for i in range(beside)
        ]
        for other in others:
            other.start()
        try:
            for seed in range(UNCOUNTED):
                wire(address, f"seed={seed}")
                engine(seed)
            seeds = range(UNCOUNTED, UNCOUNTED + repeats)
            pairs = [(wire(address, f"seed={seed}"), engine(seed)) for seed in seeds]
        finally:
            stop.set()
            for other in others:
                other.join()
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def ready() -> None:
    """In a process that runs the engine alone: as a worker of the server is."""
    torch.set_num_threads(1)
    warm_up()
    for _ in run(Experiment()):
        pass


def engines(place: int, seconds: float) -> float:
    """Experiments a second, to their last event, in this process."""
    return rate(place, seconds, lambda seed: list(run(Experiment(seed=seed))))


def streams(address: tuple[str, int], place: int, seconds: float) -> float:
    """Streams a second, to their last event, of one client with an address of its own."""

    def whole(seed: int) -> None:
        with streaming(address, f"seed={seed}", f"127.0.1.{1 + place}") as connection:
            read = b""
            while b"event: end" not in read:
                piece = connection.recv(1 << 20)
                if not piece:
                    raise RuntimeError(f"the stream ended after {read[-200:]!r}")
                read = read[-20:] + piece

    return rate(place, seconds, whole)


def rate(place: int, seconds: float, work: Callable[[int], object]) -> float:
    """How often a second ``work`` is done, with a seed of its own each time."""
    began = time.perf_counter()
    done = 0
    while (took := time.perf_counter() - began) < seconds:
        done += 1
        work(1_000_000 * (1 + place) + done)
    return done / took


def throughput() -> tuple[float, float]:
    """Experiments a second: of a server, and of the engine in as many processes as have cores."""
    places = range(available_cores())
    with (
        serving() as url,
        ThreadPoolExecutor(len(places)) as clients,
        ProcessPoolExecutor(
            len(places), multiprocessing.get_context("forkserver"), initializer=ready
        ) as alone,
    ):
        address = ("127.0.0.1", urlsplit(url).port or 0)

        def together(executor: Executor, work: Callable[..., float], *given: object) -> float:
            tasks = [executor.submit(work, *given, place, ROUND_SECONDS) for place in places]
            return sum(task.result() for task in tasks)

        rounds = []
        for number in range(ROUNDS + 1):
            pair = together(clients, streams, address), together(alone, engines)
            if number:  # in the first one all is warmed up
                rounds.append(pair)
    return float(np.median([r[0] for r in rounds])), float(np.median([r[1] for r in rounds]))


def main() -> int:
    """Measure, print, compare with the target."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=40)
    arguments.add_argument("--beside", type=int, default=0)
    chosen = arguments.parse_args()
    streams, runs = measure(chosen.repeats, chosen.beside)
    whole = float(np.median([found["summary"] for found in runs]))
    print(f"{'ms':14}{'minimum':>9}{'median':>9}{'p95':>9}{'engine':>9}{'× engine run':>14}")
    for name in MOMENTS:
        times = [found[name] for found in streams]
        alone = float(np.median([found[name] for found in runs]))
        median = float(np.median(times))
        print(
            f"{name:14}{min(times):9.1f}{median:9.1f}{np.percentile(times, 95):9.1f}"
            f"{alone:9.1f}{median / whole:14.2f}"
        )
    first = float(np.median([found["first event"] for found in streams]))
    server, engines_alone = throughput()
    print(f"experiments a second: {server:.1f}, engine alone {engines_alone:.1f}: "
          f"{server / engines_alone:.2f}")  # fmt: skip
    return int(not chosen.beside and (first > TARGET or server < SHARE * engines_alone))


if __name__ == "__main__":
    sys.exit(main())
