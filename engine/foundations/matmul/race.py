"""The race: every variant on the same two matrices, reported as each comes in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from layerscope.engine.basis.cancellation import ShouldStop, Stopped, never
from layerscope.engine.basis.text import number_text
from layerscope.engine.foundations.matmul.base import MatmulVariant
from layerscope.engine.foundations.matmul.events import (
    RaceEnd,
    RaceProgress,
    RaceResult,
    RaceStart,
    Ranking,
)
from layerscope.engine.foundations.matmul.limits import LIMITS, MatmulLimits, chosen_variants
from layerscope.engine.foundations.matmul.notes import NOTES_SHAPE, NOTES_TABLE
from layerscope.engine.foundations.matmul.peak import measured_peak
from layerscope.engine.foundations.matmul.timing import Measurement, measure, timer_noise

__all__ = ["BASELINE", "RaceEvent", "operands", "race"]

RaceEvent = RaceStart | RaceProgress | RaceResult | RaceEnd

BASELINE = "loops"
"""The variant over which every speed-up is counted."""

PROGRESS_EVERY = 0.05  # s; more often no one sees
REFERENCE_ROWS = 256  # rows of the float64 product between two looks at should_stop


def operands(m: int, k: int, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two standard normal matrices of shapes (m, k) and (k, n), float32, fixed by the seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(m, k, generator=generator), torch.randn(k, n, generator=generator)


def race(
    m: int,
    k: int,
    n: int,
    *,
    seed: int = 0,
    time_limit: float = 1.0,
    threads: int = 1,
    variants: Sequence[str] | None = None,
    limits: MatmulLimits = LIMITS,
    should_stop: ShouldStop = never,
) -> Iterator[RaceEvent]:
    """Multiply (m, k) by (k, n) with every variant, one after the other.

    Args:
        time_limit: seconds for one variant; Python loops that need longer are timed on a part of
            the result, and their time extrapolated by the count of multiply-adds, and marked.
        threads: how many cores each variant may use. On one, the code is compared and not the
            machine, and no thread waits for a core that another program has; Python and Numba
            loops use one in any case.
        variants: registry names; all when None.

    Yields:
        `RaceStart`; for each variant `RaceProgress` (none for a quick one) and one `RaceResult`;
        last `RaceEnd`.

    Errors:
        ``ValueError`` (`LimitError` for a size over a limit) at the first event, before anything
        is allocated; `Stopped` soon after ``should_stop()`` turns true.

    >>> [event.event for event in race(2, 3, 2, variants=["matmul"]) if event.event != \
"race_progress"]
    ['race_start', 'race_result', 'race_end']
    """
    limits.check(m, k, n, seed, time_limit, threads)
    chosen = chosen_variants(variants)
    started = perf_counter()
    if should_stop():
        raise Stopped
    a, b = operands(m, k, n, seed)
    start = _start(m, k, n, seed, time_limit, threads, chosen, should_stop)
    yield start
    reference = _reference(a, b, should_stop)
    results: list[RaceResult] = []
    for index, variant in enumerate(chosen):
        place: dict[str, Any] = {"variant": variant.name, "index": index, "of": len(chosen)}
        about: dict[str, Any] = {
            **place,
            "title": variant.title,
            "extra_bytes": variant.extra_bytes(m, k, n),
        }
        reason = limits.skipped(variant, m, k, n)
        if reason:
            results.append(RaceResult(status="skipped", extrapolated=False, reason=reason, **about))
            yield results[-1]
            continue
        told = perf_counter()
        for step in measure(
            variant, a, b, time_limit=time_limit, threads=threads, should_stop=should_stop
        ):
            if isinstance(step, Measurement):
                results.append(_result(step, about, start, results, reference))
            elif perf_counter() - told >= PROGRESS_EVERY:
                told = perf_counter()
                yield RaceProgress(fraction=step, **place)
        yield results[-1]
    yield _end(results, perf_counter() - started)


def _start(
    m: int,
    k: int,
    n: int,
    seed: int,
    time_limit: float,
    threads: int,
    chosen: list[MatmulVariant],
    should_stop: ShouldStop,
) -> RaceStart:
    return RaceStart(
        m=m,
        k=k,
        n=n,
        seed=seed,
        time_limit=float(time_limit),
        multiply_adds=m * k * n,
        flops=2 * m * k * n,
        threads=threads,
        noise_seconds=timer_noise(),
        peak=measured_peak(threads, should_stop=should_stop).to_dict(),
        variants=[variant.to_dict() for variant in chosen],
        notes={
            "shape": list(NOTES_SHAPE),
            "same_shape": (m, k, n) == NOTES_SHAPE,
            "rows": [row.to_dict() for row in NOTES_TABLE],
        },
    )


def _reference(a: Tensor, b: Tensor, should_stop: ShouldStop) -> Tensor:
    exact = torch.empty(a.shape[0], b.shape[1], dtype=torch.float64)
    wide = b.double()
    for row in range(0, a.shape[0], REFERENCE_ROWS):
        if should_stop():
            raise Stopped
        rows = slice(row, row + REFERENCE_ROWS)
        exact[rows] = a[rows].double() @ wide  # (rows, n)
    return exact


def _result(
    measured: Measurement,
    about: dict[str, Any],
    start: RaceStart,
    before: list[RaceResult],
    reference: Tensor,
) -> RaceResult:
    extrapolated = measured.fraction < 1
    gflops = start.flops / measured.seconds / 1e9
    base = next((r for r in before if r.variant == BASELINE and r.seconds is not None), None)
    baseline = measured.seconds if about["variant"] == BASELINE else base and base.seconds
    absolute, relative, cells = _errors(measured, reference)
    reason = (
        f"{number_text(100 * measured.fraction)} % of the multiply-adds were computed within "
        f"{start.time_limit:g} s; the time is theirs, divided by this share"
    )
    return RaceResult(
        **about,
        status="extrapolated" if extrapolated else "measured",
        extrapolated=extrapolated,
        reason=reason if extrapolated else "",
        seconds=measured.seconds,
        low_seconds=measured.low_seconds,
        high_seconds=measured.high_seconds,
        best_seconds=measured.best_seconds,
        spread_seconds=measured.high_seconds - measured.low_seconds,
        samples=measured.samples,
        calls=measured.calls,
        fraction=measured.fraction,
        warmup_seconds=measured.warmup_seconds,
        speedup=baseline / measured.seconds if baseline else None,
        speedup_extrapolated=extrapolated or bool(base and base.extrapolated),
        gflops=gflops,
        share_of_peak=gflops / start.peak["gflops"],
        max_abs_error=absolute,
        max_relative_error=relative,
        cells_checked=cells,
    )


def _errors(measured: Measurement, reference: Tensor) -> tuple[float, float | None, int]:
    # Only cells that were computed: whole rows, and the beginning of the next.
    rows, cells = measured.rows, measured.cells
    computed = torch.cat(
        [measured.result[:rows].flatten(), measured.result[rows : rows + 1, :cells].flatten()]
    )
    exact = torch.cat([reference[:rows].flatten(), reference[rows : rows + 1, :cells].flatten()])
    worst = float((computed.double() - exact).abs().max())
    largest = float(exact.abs().max())
    return worst, worst / largest if largest else None, computed.numel()


def _end(results: list[RaceResult], total: float) -> RaceEnd:
    finished = sorted(
        ((r.seconds, r) for r in results if r.seconds is not None), key=lambda pair: pair[0]
    )
    ranking = [
        Ranking(place, r.variant, r.title, seconds, seconds / finished[0][0], r.extrapolated)
        for place, (seconds, r) in enumerate(finished, start=1)
    ]
    skipped = [r.variant for r in results if r.status == "skipped"]
    return RaceEnd(ranking=ranking, skipped=skipped, total_seconds=total)
