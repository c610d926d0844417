"""How much memory computations take, beside what they were estimated to take.

    python -m benchmarks.memory [--only passes] [--rows 5]

Each runs in a process that was forked for it, as a worker is. Measured is the highest resident
memory above that before it (``VmHWM``, reset by writing 5 to ``clear_refs``). Prints a Markdown
table; exits with 1 where a computation took more than 1.2 times its estimate.
"""

from __future__ import annotations

import argparse
import gc
import os
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from layerscope.app.api.layer import layer_json
from layerscope.app.preload import run_everything_once
from layerscope.app.results import EVERYTHING, complete
from layerscope.engine.analyses import ANALYSES, AnalysisUndefined
from layerscope.engine.basis.cancellation import never
from layerscope.engine.basis.cores import keep_to_cores
from layerscope.engine.diagnosis.run import result_cost
from layerscope.engine.execution.cost import Cost, cost
from layerscope.engine.execution.layer_tensors import tensors_cost
from layerscope.engine.execution.memory import keep_large_apart
from layerscope.engine.execution.network import Network, layout
from layerscope.engine.execution.prices import measure, prices, use
from layerscope.engine.execution.recording import record_all
from layerscope.engine.experiment.specification import Experiment

ALLOWED = 1.2
MIB = 2**20
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
SHALLOW: dict[str, Any] = {"depth": 1, "width": 2048, "inputs": 1, "batch": 4000}
DEEP: dict[str, Any] = {"depth": 10, "width": 512, "batch": 1900}
WIDE: dict[str, Any] = {"depth": 2, "width": 1500, "batch": 64}
SWEEP: list[dict[str, Any]] = [
    SHALLOW,
    {**SHALLOW, "activation": "gelu"},
    {**SHALLOW, "activation": "linear"},
    {**SHALLOW, "dtype": "bfloat16"},
    {**SHALLOW, "dtype": "float64"},
    {**SHALLOW, "norm": "layer"},
    {**SHALLOW, "norm": "batch", "residual": True, "dtype": "float16"},
    {"depth": 1, "width": 1, "batch": 65536, "inputs": 1},
    DEEP,
    {**DEEP, "norm": "layer", "residual": True},
    {**DEEP, "norm": "rms", "activation": "silu"},
    {**DEEP, "residual": True, "activation": "tanh", "dtype": "float64"},
    WIDE,
    {**WIDE, "init": "orthogonal"},
    {**WIDE, "init": "lsuv"},
    {**WIDE, "init": "sparse"},
    {**WIDE, "dtype": "bfloat16"},
    {"depth": 300, "width": 64, "batch": 1000},
    {"depth": 1000, "width": 4, "batch": 4},
    {"depth": 1, "width": 4096, "inputs": 4096, "batch": 20},
    {"depth": 30, "width": 64, "batch": 1797, "data": "digits", "loss": "cross_entropy"},
]
"""Depth, width, samples, inputs, number format, activation, norm, residual sums, init, data."""
Work = Callable[[Experiment], object]
COMPUTED: dict[str, tuple[Callable[[Experiment], Cost], Work]] = {
    "passes": (cost, lambda e: record_all(Network(e))),
    "whole result": (result_cost, lambda e: complete(e, EVERYTHING, never)),
    "one layer": (tensors_cost, lambda e: layer_json(e, layout(e)[0], "", never)),
    **{name: (a.cost, a.run) for name, a in ANALYSES.items()},
}
ANSWER = struct.Struct("qd")


def _bytes(field: str) -> int:
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return 1024 * int(lines[field].split()[0])


def measured(work: Callable[[], object], before: Callable[[], object]) -> tuple[int, float] | None:
    """Bytes above what there was, and seconds, in a fork of this process; None where undefined."""
    ours, theirs = os.pipe()
    if not os.fork():
        try:
            before()
            gc.collect()
            idle = _bytes("VmRSS")
            CLEAR.write_text("5")
            began = time.process_time()
            work()
            took = time.process_time() - began
            os.write(theirs, ANSWER.pack(_bytes("VmHWM") - idle, took))
        except AnalysisUndefined:
            pass
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answer:
        told = answer.read()
    os.wait()
    return ANSWER.unpack(told) if told else None


def main() -> int:
    """Every computation on every setting of the sweep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=COMPUTED, action="append")
    parser.add_argument("--rows", type=int, default=len(SWEEP))
    asked = parser.parse_args()
    keep_to_cores(1)
    keep_large_apart()
    run_everything_once()
    use(measure())
    print("| experiment | computed | measured | estimated | ratio | seconds | estimated |")
    print("|---|---|---|---|---|---|---|")
    worst = 0.0
    for change in SWEEP[: asked.rows]:
        experiment = Experiment(**change)
        small = experiment.model_copy(update={"depth": 2, "width": 8, "batch": 8, "inputs": None})
        for name in asked.only or COMPUTED:
            estimate, work = COMPUTED[name]
            needed = estimate(experiment)
            found = measured(partial(work, experiment), partial(work, small))
            if found is None or not needed.flops:  # no answer for this one, or none to compute
                continue
            peak, seconds = found
            worst = max(worst, peak / needed.bytes)
            told = ", ".join(f"{k}={v}" for k, v in change.items())
            print(
                f"| {told} | {name} | {peak / MIB:.0f} MiB | {needed.bytes / MIB:.0f} MiB | "
                f"{peak / needed.bytes:.2f} | {seconds:.2f} | "
                f"{needed.flops / prices().per_second:.2f} |",
                flush=True,
            )
    print(f"\nmeasured at most {worst:.2f} times the estimate; allowed {ALLOWED}")
    return int(worst > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
