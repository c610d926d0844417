"""How long a variant takes: repeated where it is quick, a measured part where it is slow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from layerscope.engine.basis.cancellation import ShouldStop, Stopped, never
from layerscope.engine.basis.cores import on_cores
from layerscope.engine.foundations.matmul.base import MatmulVariant

__all__ = ["Measurement", "measure", "timer_noise"]

SAMPLE = 1e-3  # s; a shorter call is repeated within one sample, so that the clock's cost is lost
TILE = 0.02  # s; after each such piece of a long run, should_stop is asked
QUICK = 0.02  # s; what takes less is not cut into pieces
SAMPLES = 25  # enough for a median and quartiles
PASSES = 7  # complete runs of what has to be cut into pieces


@dataclass(frozen=True)
class Measurement:
    """One variant, timed.

    A time is of the whole product. Where only a part was computed (``fraction`` < 1), it is the
    part's own time divided by the fraction of multiply-adds done.
    """

    seconds: float
    """Median of the samples."""
    low_seconds: float
    """Lower quartile of the samples."""
    high_seconds: float
    """Upper quartile of the samples."""
    best_seconds: float
    samples: int
    calls: int
    """Calls timed, in all samples; the whole product each, unless ``fraction`` < 1."""
    fraction: float
    """Share of the multiply-adds that was computed and timed."""
    warmup_seconds: float
    """The first call, on a corner of the operands: what has to be compiled is compiled there."""
    result: Tensor = field(repr=False)
    """What was computed, of shape (m, n); meaningless beyond ``rows`` and ``cells``."""
    rows: int
    """Rows of ``result`` that are complete."""
    cells: int
    """Cells of the row after those that were computed, from the left."""


def measure(
    variant: MatmulVariant,
    a: Tensor,
    b: Tensor,
    *,
    time_limit: float,
    threads: int = 1,
    should_stop: ShouldStop = never,
) -> Iterator[float | Measurement]:
    """Time ``variant`` on a (m, k) and b (k, n), none of m, k, n zero.

    Yields the share of the work that is done, after every few hundredths of a second, and last
    the `Measurement`.

    Errors:
        `Stopped` within one piece of work after ``should_stop()`` turns true.
    """
    corner = b[:, :1] if variant.tile == "cells" else b
    rows = variant.row_block if variant.tile == "rows" else 1
    work = _Work(variant, a, b, time_limit, threads, should_stop)
    work.warmup = work.timed(a[:1], b[:, :1])
    if variant.tile == "whole":
        yield from _repeat(work)
        return
    probe = work.timed(a[:rows], corner)
    cells = min(rows, a.shape[0]) * corner.shape[1]
    if probe / cells * a.shape[0] * b.shape[1] <= min(QUICK, time_limit / 3):
        yield from _repeat(work)
    else:
        per_tile = max(1, int(TILE / probe * cells))
        yield from _by_tiles(work, per_tile)


def timer_noise() -> float:
    """Seconds a call that this way of measuring reports for doing nothing: the floor under all."""

    def nothing() -> None:
        pass

    samples = []
    for _ in range(SAMPLES):
        started = perf_counter()
        for _ in range(1000):
            nothing()
        samples.append((perf_counter() - started) / 1000)
    return float(np.median(samples))


@dataclass
class _Work:
    variant: MatmulVariant
    a: Tensor
    b: Tensor
    time_limit: float
    threads: int
    should_stop: ShouldStop
    warmup: float = 0.0

    def timed(self, a: Tensor, b: Tensor, calls: int = 1) -> float:
        """Seconds for that many calls; the last one's result is kept."""
        if self.should_stop():
            raise Stopped
        function = self.variant.function
        with on_cores(self.threads):
            started = perf_counter()
            for _ in range(calls):
                self.result = function(a, b)
            elapsed = perf_counter() - started
        return max(elapsed, 1e-9)  # a clock may stand still between two readings

    def measurement(
        self,
        samples: list[float],
        calls: int,
        fraction: float,
        result: Tensor,
        end: tuple[int, int],
    ) -> Measurement:
        if len(samples) > 1:
            low, middle, high = np.quantile(samples, (0.25, 0.5, 0.75)).tolist()
        else:
            low = middle = high = samples[0]
        return Measurement(
            seconds=middle,
            low_seconds=low,
            high_seconds=high,
            best_seconds=min(samples),
            samples=len(samples),
            calls=calls * len(samples),
            fraction=fraction,
            warmup_seconds=self.warmup,
            result=result,
            rows=end[0],
            cells=end[1],
        )


def _repeat(work: _Work) -> Iterator[float | Measurement]:
    # The first call pays for caches and threads; it counts only where there is no time for more.
    first = spent = work.timed(work.a, work.b)
    result = work.result
    samples = [first] if first > work.time_limit / 2 else []
    again = first if first > SAMPLE else work.timed(work.a, work.b)
    inner = max(1, int(SAMPLE / again))
    while len(samples) < SAMPLES and (spent < work.time_limit or not samples):
        elapsed = work.timed(work.a, work.b, inner)
        samples.append(elapsed / inner)
        spent += elapsed
        yield min(1.0, max(len(samples) / SAMPLES, spent / work.time_limit))
    yield work.measurement(samples, inner, 1.0, result, (work.a.shape[0], 0))


def _by_tiles(work: _Work, per_tile: int) -> Iterator[float | Measurement]:
    m, n, limit = work.a.shape[0], work.b.shape[1], work.time_limit
    result = torch.empty(m, n)
    samples: list[float] = []
    spent = 0.0
    while len(samples) < PASSES and (not samples or spent + samples[-1] <= limit):
        passed, done = 0.0, 0
        tiles = _tiles(work.variant, m, n, per_tile)
        for calls, (i0, i1, j0, j1) in enumerate(tiles, start=1):
            passed += work.timed(work.a[i0:i1], work.b[:, j0:j1])
            result[i0:i1, j0:j1] = work.result
            done += (i1 - i0) * (j1 - j0)
            share = done / (m * n)
            yield min(1.0, max((len(samples) + share) / PASSES, (spent + passed) / limit))
            if not samples and passed >= limit and done < m * n:
                end = divmod(done, n)
                yield work.measurement([passed / share], calls, share, result, end)
                return
        samples.append(passed)
        spent += passed
    yield work.measurement(samples, 1, 1.0, result, (m, 0))


def _tiles(
    variant: MatmulVariant, m: int, n: int, per_tile: int
) -> Iterator[tuple[int, int, int, int]]:
    if variant.tile == "cells" and per_tile < n:  # parts of one row
        for i in range(m):
            for j in range(0, n, per_tile):
                yield i, i + 1, j, min(j + per_tile, n)
        return
    blocks = max(1, per_tile // (n * variant.row_block))
    step = blocks * variant.row_block
    for i in range(0, m, step):
        yield i, min(i + step, m), 0, n
