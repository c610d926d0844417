"""How fast a run's page and what it asks for are, whatever the run's length.

Run with ``python -m benchmarks.runs [--steps 1000 10000 100000] [--modules 50]``. A run of so many
steps is written, each with four tensors a module, as a probe records them; a server in a process of
its own is asked over HTTP. "picture" is the page with everything in it, a second wanted; "brushed"
what it asks for when so many steps are chosen, up to the new picture, 0.1 s wanted; "histogram" a
tensor's in every step shown; "step" the slider's; "resumed" the last 100 steps by `Last-Event-ID`.
100,000 steps of 200 tensors take some 2 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import statistics as summary
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from layerscope.engine.basis.serial import Serial
from layerscope.engine.probe.facts import ModuleFacts, ParameterFacts
from layerscope.engine.probe.step import ModuleStep, Outline, Quantity, Slot, Step
from layerscope.engine.statistics import Histogram, Statistics
from layerscope.engine.store import Batch, Store
from layerscope.engine.store.entries import Finish, Modules, Start, StepEntry
from layerscope.engine.store.location import default_url
from tests.browser.serving import serving

__all__ = ["main", "measure", "write"]

OF_A_MODULE = (
    Quantity.ACTIVATION, Quantity.GRADIENT, Quantity.VALUE, Quantity.PARAMETER_GRADIENT,
)  # fmt: skip
ENTRIES = 4096
VARIANTS = 16
"""Steps that differ in their statistics; the rest repeats them."""
AT_ONCE = 500
RUN = "long"


class _Encoded(Serial):
    """A `Step` whose larger part was encoded once."""

    number: int
    time: float
    loss: float | None
    learning_rates: list[float]
    slots: msgspec.Raw
    statistics: msgspec.Raw
    modules: msgspec.Raw


def _statistics(random: np.random.Generator) -> Statistics:
    """Of a tensor as a layer has it: a normal's magnitudes, by sign."""
    std = float(2.0 ** random.normal(0, 2))
    values = random.normal(0, std, ENTRIES)
    exponents = np.floor(np.log2(np.abs(values))).astype(int)
    low = int(exponents.min())
    counts = [
        np.bincount(exponents[values * sign > 0] - low, minlength=int(exponents.max()) - low + 1)
        for sign in (1, -1)
    ]
    histogram = Histogram(low, *counts)
    figures = (float(values.mean()), std, std, float(values.min()), float(values.max()))
    return Statistics(ENTRIES, ENTRIES, *figures, 0, 0, 0, 0, 0, histogram)


def _parts(modules: int, random: np.random.Generator) -> _Encoded:
    """Everything of a step but what differs in each."""
    slots = [Slot(module, quantity) for module in range(modules) for quantity in OF_A_MODULE]
    said = [ModuleStep(module, (64, 64), 1) for module in range(modules)]
    step = Step(0, 0.0, None, [0.1], slots, [_statistics(random) for _ in slots], said)
    return _Encoded.from_bytes(step.to_bytes())


def write(folder: Path, steps: int, modules: int) -> int:
    """The run in the store of ``folder``; bytes of a step."""
    store = Store(default_url(folder))
    random = np.random.default_rng(0)
    variants = [_parts(modules, random) for _ in range(VARIANTS)]
    parameters = {"weight": ParameterFacts((64, 64), "float32", trains=True)}
    facts = [
        ModuleFacts(i, f"block.{i // 4}.{i % 4}", "Linear", None, (64, 64), "float32",
                    parameters=parameters)
        for i in range(modules)
    ]  # fmt: skip
    store.append(RUN, Batch(1, [Start(RUN, {}, 0.0), Modules([f.to_bytes() for f in facts])]))
    size = 0
    for first in range(1, steps + 1, AT_ONCE):
        entries = []
        for number in range(first, min(steps, first + AT_ONCE - 1) + 1):
            loss = 2.0 / number**0.2 + 0.1 * float(random.random())
            payload = msgspec.structs.replace(
                variants[number % VARIANTS], number=number, loss=loss
            ).to_bytes()
            size = len(payload)
            entries.append(StepEntry(number, float(number), loss, payload))
        store.append(RUN, Batch(first + 2, entries))
    Outline.from_bytes(payload)  # as a reader will
    store.append(RUN, Batch(steps + 3, [Finish("finished", 0.0)]))
    store.close()
    os.sync()  # else what is read next waits for what is still being written
    return size


def _read(url: str, until: bytes = b"", last: int | None = None) -> int:
    """Bytes of an answer, of a stream up to the first ``until``."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - our own server
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        if not until:
            return len(answer.read())
        read = b""
        while until not in read:
            piece = answer.read1(1 << 20)
            if not piece:
                raise RuntimeError(f"{url} ended before {until!r}")
            read += piece
        return len(read)


def _seconds(call: Callable[[], object], times: int = 5) -> float:
    """The median of some, the first of them too: a page is asked for once."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return summary.median(taken)


def measure(site: str, steps: int) -> dict[str, float]:
    """Seconds of each, over HTTP."""
    page, api = f"{site}/runs/{RUN}", f"{site}/api/v1/runs/{RUN}"
    middle = steps // 2

    def brushed(width: int) -> float:
        first = middle - width // 2
        return _seconds(
            lambda: _read(f"{page}/follow?from={first}&to={first + width - 1}", b"\nevent: ")
        )

    found = {
        "first picture": _seconds(lambda: _read(page), 1),
        "picture": _seconds(lambda: _read(page)),
    }
    for width in sorted({100, 300, steps // 10, steps // 2}):
        found[f"brushed to {width}"] = brushed(width)
    found["histogram"] = _seconds(
        lambda: _read(f"{api}/series?quantity=histogram&modules=block.0.0&tensor=weight")
    )
    found["step"] = _seconds(lambda: _read(f"{page}/signal?step={middle}"))
    found["resumed"] = _seconds(
        lambda: _read(f"{api}/stream", f'"number":{steps},'.encode(), last=steps - 98)
    )
    return found


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description="A run's page, whatever its length.")
    parser.add_argument("--steps", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--modules", type=int, nargs="+", default=[50])
    asked = parser.parse_args()
    for modules in asked.modules:
        for steps in asked.steps:
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                size = write(Path(folder), steps, modules)
                written = time.perf_counter() - start
                with serving(data_dir=folder, warm_up="false") as site:
                    figures = measure(site, steps)
            told = ", ".join(f"{name} {1000 * s:.0f} ms" for name, s in figures.items())
            print(f"{steps:>7} steps of {len(OF_A_MODULE) * modules} tensors, {size} bytes each, "
                  f"written in {written:.0f} s: {told}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
