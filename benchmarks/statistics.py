"""Full statistics of a tensor against torch's own operators called one by one.

Run with ``python -m benchmarks.statistics``. Every figure is the median of interleaved rounds, so
that a change of the machine's speed meets all of them alike; "ratio" is torch's time over ours.
Torch's operators return tensors (no ``.item()``), on as many threads as torch uses.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from layerscope.engine.statistics import distinct_columns, statistics, units, warm_up

__all__ = ["SIZES", "compare", "main"]

SIZES = (20_000, 20_000_000)
OPERATORS: dict[str, Callable[[Tensor], object]] = {
    "mean": torch.mean,
    "std": torch.std,
    "aminmax": torch.aminmax,
    "zero share": lambda x: (x == 0).float().mean(),
    "isfinite": lambda x: torch.isfinite(x).all(),
    "histc": lambda x: torch.histc(x, 64),
}


def _one_by_one(x: Tensor) -> list[object]:
    return [operator(x) for operator in OPERATORS.values()]


def _medians(
    calls: dict[str, Callable[[], object]], *, seconds: float, batch: int
) -> dict[str, float]:
    """Seconds per call of each, the median over rounds in which all take turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[next(iter(times))]) < 5:
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(batch):
                call()
            times[name].append((time.perf_counter() - start) / batch)
    return {name: float(np.median(values)) for name, values in times.items()}


def compare(size: int, kind: str = "gaussian", *, seconds: float = 2.0) -> dict[str, float]:
    """Seconds of ``statistics``, of torch's operators together and each, and of reading alone.

    "read" is ``torch.sum`` over the same memory, the quickest pass that uses every entry.
    """
    x = torch.randn(size, generator=torch.Generator().manual_seed(0))
    if kind == "relu":
        x = x.relu()
    calls: dict[str, Callable[[], object]] = {
        "statistics": lambda: statistics(x),
        "one by one": lambda: _one_by_one(x),
        "read": lambda: torch.sum(x),
    }
    for name, operator in OPERATORS.items():
        calls[name] = lambda operator=operator: operator(x)  # type: ignore[misc]
    return _medians(calls, seconds=seconds, batch=max(1, 100_000 // size))


def _default_experiment(seconds: float) -> dict[str, float]:
    """Statistics of as many tensors as a network of 50 layers of 100 units has, at batch 200."""
    generator = torch.Generator().manual_seed(0)
    signals = [torch.randn(200, 100, generator=generator) for _ in range(50)]
    signals += [x.relu() for x in signals] + [x * 1e-3 for x in signals]
    weights = [torch.randn(100, 100, generator=generator) for _ in range(100)]
    return _medians(
        {
            "statistics of 250 tensors": lambda: [statistics(x) for x in signals + weights],
            "one by one": lambda: [_one_by_one(x) for x in signals + weights],
            "units of 50 activations": lambda: [units(x) for x in signals[50:100]],
            "distinct columns of 50 weights": lambda: [distinct_columns(w) for w in weights[:50]],
        },
        seconds=seconds,
        batch=1,
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:9.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:9.1f} µs"


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="per table")
    seconds = parser.parse_args(arguments).seconds
    warm_up()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, float32")
    for size in SIZES:
        for kind in ("gaussian", "relu"):
            result = compare(size, kind, seconds=seconds)
            ours, torchs, read = (result[k] for k in ("statistics", "one by one", "read"))
            print(f"\n{size:,} entries, {kind}")
            print(f"  full statistics       {_time(ours)}   {4 * size / ours / 1e9:6.1f} GB/s")
            print(f"  torch, one by one     {_time(torchs)}   ratio {torchs / ours:5.1f}")
            for name in OPERATORS:
                print(f"    {name:<19} {_time(result[name])}")
            print(f"  reading alone (sum)   {_time(read)}   {4 * size / read / 1e9:6.1f} GB/s")
            print(f"  share of that bandwidth   {100 * read / ours:5.0f} %")
    print("\nDefault experiment: 50 layers of 100 units, batch 200")
    for name, value in _default_experiment(seconds).items():
        print(f"  {name:<32} {_time(value)}")


if __name__ == "__main__":
    main()
