"""The most that this machine does with large matrices: the yardstick of every rate in the race."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch

from layerscope.engine.basis.cancellation import ShouldStop, Stopped, never
from layerscope.engine.basis.cores import on_cores
from layerscope.engine.basis.text import number_text
from layerscope.engine.foundations.record import Record

__all__ = ["PEAK_RUNS", "Peak", "measured_peak"]

PEAK_RUNS = ((512, 20), (1024, 10), (2048, 3))
"""Sizes at which a BLAS may be at its best, and how often each is tried: half a second in all."""

_lock = threading.Lock()
_peaks: dict[int, Peak] = {}


@dataclass(frozen=True)
class Peak(Record):
    """The best of several large ``@``, in float32."""

    gflops: float
    """10⁹ floating-point operations a second, a multiply-add counted as two."""
    size: int
    """Of the two square matrices."""
    threads: int
    repeats: int
    """Calls of which this was the quickest."""

    def to_dict(self) -> dict[str, Any]:
        where = "one core" if self.threads == 1 else f"{self.threads} cores"
        text = (
            f"{number_text(self.gflops)} GFLOP/s: the best of {self.repeats} products of two "
            f"{self.size} × {self.size} matrices by @ on {where}"
        )
        return {**super().to_dict(), "text": text}


def measured_peak(threads: int = 1, *, should_stop: ShouldStop = never) -> Peak:
    """The peak of that many cores as torch reaches it, measured once for each number.

    Errors:
        `Stopped` when ``should_stop()`` turns true between two products.
    """
    with _lock:
        if threads not in _peaks:
            _peaks[threads] = _measure(threads, should_stop)
        return _peaks[threads]


def _measure(threads: int, should_stop: ShouldStop) -> Peak:
    generator = torch.Generator().manual_seed(0)
    best = Peak(0.0, 0, threads, 0)
    for size, repeats in PEAK_RUNS:
        a, b = torch.randn(2, size, size, generator=generator)
        quickest = float("inf")
        for _ in range(repeats):
            if should_stop():
                raise Stopped
            with on_cores(threads):
                started = perf_counter()
                a @ b
                quickest = min(quickest, perf_counter() - started)
        gflops = 2 * size**3 / max(quickest, 1e-9) / 1e9
        if gflops > best.gflops:
            best = Peak(gflops, size, threads, repeats)
    return best
