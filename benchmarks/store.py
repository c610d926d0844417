"""How fast a run is written, and how reading it grows with its steps.

Run with ``python -m benchmarks.store [--steps 1000 10000 100000] [--bytes 4000]``. A step's payload
is so many random bytes; "written" counts until the last step is on the disk. "picture" reads 1,000
points of a whole run without payloads, "brushed" 200 whole steps from its middle, "page" the list
of runs, "followed" the last 100 steps.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from layerscope.engine.store import open_run

__all__ = ["main", "measure"]


def _seconds(call: Callable[[], object]) -> float:
    """The quickest of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(steps: int, size: int) -> dict[str, float]:
    """Seconds of each, and what a step takes of the thread that trains."""
    payload = os.urandom(size)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        writer = open_run(Path(folder) / "runs.db")
        told = 0.0
        for number in range(steps):
            before = time.perf_counter()
            writer.step(number, 1.0 / (number + 1), payload)
            told += time.perf_counter() - before
            while writer.lost == 0 and writer.waiting_bytes > 2**24:
                time.sleep(0.001)  # as a training that is slower than the disk
        writer.finish()
        written = time.perf_counter() - start
        store, run = writer.store, writer.id
        if store is None or writer.lost:
            raise RuntimeError(f"{writer.lost} entries were lost")
        middle = steps // 2
        found = {
            "written": written,
            "told, each": told / steps,
            "picture": _seconds(lambda: store.steps(run, points=1000, payload=False)),
            "brushed": _seconds(lambda: store.steps(run, middle, middle + 200)),
            "page": _seconds(store.runs),
            "followed": _seconds(lambda: store.follow(run, steps - 100)),
        }
        store.close()
    return found


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description="The store of runs.")
    parser.add_argument("--steps", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--bytes", type=int, default=4000)
    asked = parser.parse_args()
    for steps in asked.steps:
        figures = measure(steps, asked.bytes)
        told = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in figures.items())
        print(f"{steps:>7} steps of {asked.bytes} bytes: {told}")


if __name__ == "__main__":
    main()
