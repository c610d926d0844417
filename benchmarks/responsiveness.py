"""How soon things stop, and whether a server answers meanwhile.

    python -m benchmarks.responsiveness

A matmul variant that is told to stop; text meant to keep a parser busy; a stream that its reader
closes; the event loop beside a computation. Milliseconds beside the limit that each has; exits
with 1 when one is over it.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import torch

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.foundations.matmul import MATMULS, race
from layerscope.engine.foundations.matmul.timing import timer_noise
from layerscope.engine.foundations.tensors.literals import parse_tensor
from layerscope.engine.foundations.tensors.scanner import LiteralError
from tests.serving import running_server

SLOW = {"depth": 1000, "width": 1000, "batch": 1000}
Row = tuple[str, float, float]


def stopping(name: str) -> Row:
    """Milliseconds from the wish to stop to the end of a race of one variant."""
    MATMULS[name](torch.ones(1, 1), torch.ones(1, 1))  # compiled
    deadline = time.perf_counter() + 0.2

    def should_stop() -> bool:
        return time.perf_counter() > deadline

    with suppress(Stopped):
        for _ in race(380, 380, 380, time_limit=20.0, variants=[name], should_stop=should_stop):
            pass
    return f"stop {name}", 1e3 * max(0.0, time.perf_counter() - deadline), 300.0


def hostile_text() -> Iterator[Row]:
    """Milliseconds to refuse 100,000 characters; a quadratic parser needs minutes."""
    for text in ("[" * 100_000, "[]" * 100_000, "[[]," * 100_000, "1e" * 100_000, "1 " * 100_000):

        def refuse(literal: str = text) -> None:
            try:
                parse_tensor(literal, max_length=10**7, max_elements=10**5)
            except LiteralError:
                return
            raise AssertionError(f"{literal[:8]}… was taken")

        yield f"refuse {text[:4]}…", best(refuse), 500.0


def best(work: Callable[[], object], repeats: int = 3) -> float:
    """Least milliseconds of processor time: other processes only ever add to it."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return 1e3 * min(times)


def server() -> Iterator[Row]:
    """A server whose computation is watched, and then left."""
    with running_server(max_concurrent=1) as running:
        address = "/api/v1/experiment/stream"
        with running.client.stream("GET", address, params=SLOW) as response:
            received = response.iter_lines()
            next(received)
            with httpx.Client(base_url=running.url) as other:
                answers = []
                for _ in range(20):
                    began = time.perf_counter()
                    other.get("/healthz").raise_for_status()
                    answers.append(time.perf_counter() - began)
        left = time.perf_counter()
        while running.compute.active:
            time.sleep(0.001)
        yield "stop a closed stream", 1e3 * (time.perf_counter() - left), 1000.0
        yield "answer meanwhile", 1e3 * statistics.median(answers), 100.0


def main() -> None:
    """Print a line each."""
    torch.set_num_threads(1)
    rows = [*map(stopping, MATMULS), *hostile_text(), *server()]
    rows.append(("the timer itself", 1e3 * timer_noise(), 0.01))
    print(f"{'':<24}{'took':>12}{'limit':>12}")
    for name, took, limit in rows:
        print(f"{name:<24}{took:>9.3f} ms{limit:>9.4g} ms")
    over = [name for name, took, limit in rows if took > limit]
    if over:
        sys.exit(f"over the limit: {', '.join(over)}")


if __name__ == "__main__":
    main()
