"""How time grows with n, for square matrices: points as they come, and the exponent they fit, where
they determine one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from scipy.special import stdtrit

from layerscope.engine.basis.cancellation import ShouldStop, Stopped, never
from layerscope.engine.basis.line import line_through
from layerscope.engine.foundations.errors import LimitError
from layerscope.engine.foundations.matmul.base import MatmulVariant
from layerscope.engine.foundations.matmul.events import MatmulEvent, Status
from layerscope.engine.foundations.matmul.limits import LIMITS, MatmulLimits, chosen_variants
from layerscope.engine.foundations.matmul.race import operands
from layerscope.engine.foundations.matmul.timing import Measurement, measure, timer_noise

__all__ = [
    "SIZES", "PowerLaw", "ScalingEnd", "ScalingEvent", "ScalingPoint", "ScalingStart",
    "fit_power_law", "scaling",
]  # fmt: skip

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""The sizes of the page; powers of two stand evenly on a logarithmic axis."""

ABOVE_FLOOR = 4.0  # times the cost of a call; below it, the fixed cost bends the line
CONFIDENCE = 0.95  # of the interval that an exponent is told with
WIDEST = 0.5  # either side: beyond it the points cannot tell n² from n³


@dataclass(frozen=True)
class PowerLaw(MatmulEvent):
    """Least squares of ln t on ln n, t = coefficient · n^exponent, as far as the points hold it."""

    exponent: float | None
    """None where the points do not determine it: two of them, or more that scatter too widely."""
    interval: tuple[float, float] | None
    """In which the exponent lies with 95 % confidence, by the points' scatter about the line; None
    for two points, through which a line goes whatever they are."""
    coefficient: float | None
    """Seconds at n = 1, by the line."""
    sizes: list[int]
    """The sizes used: those where the time is above the floor."""
    line: list[dict[str, float]]
    """The two ends of the fitted line, as n and seconds; empty where there is no exponent."""
    says: str
    """The exponent with half its interval, or why there is none."""


@dataclass(frozen=True)
class ScalingStart(MatmulEvent):
    """What is about to be measured."""

    event: ClassVar[str] = "scaling_start"

    sizes: list[int]
    seed: int
    time_limit: float
    """Seconds for one point."""
    threads: int
    """Cores that each variant may use."""
    noise_seconds: float
    """What the timer reports for doing nothing."""
    above_floor: float
    """A point enters the fit when its time is this many times its variant's floor."""
    variants: list[dict[str, Any]]


@dataclass(frozen=True)
class ScalingPoint(MatmulEvent):
    """One variant at one size, and the fit through what is known of it so far."""

    event: ClassVar[str] = "scaling_point"

    variant: str
    n: int
    status: Status
    reason: str
    index: int
    """Of the point, from 0."""
    of: int
    seconds: float | None = None
    """Best of the samples: other work on the machine only ever adds, and would bend the line."""
    median_seconds: float | None = None
    low_seconds: float | None = None
    high_seconds: float | None = None
    """Quartiles of the samples."""
    gflops: float | None = None
    fraction: float | None = None
    """Share of the multiply-adds really computed; below 1 the time is extrapolated."""
    extrapolated: bool = False
    floor_seconds: float | None = None
    """The cost of calling the variant at all, or of the timer, whichever is larger."""
    above_floor: bool = False
    """The point is part of the fit."""
    fit: PowerLaw | None = None


@dataclass(frozen=True)
class ScalingEnd(MatmulEvent):
    """The last fit of every variant; None where fewer than two points were above the floor."""

    event: ClassVar[str] = "scaling_end"

    fits: dict[str, PowerLaw | None]


ScalingEvent = ScalingStart | ScalingPoint | ScalingEnd


def fit_power_law(points: Sequence[tuple[int, float]]) -> PowerLaw | None:
    """The line through ln n, ln t of two or more points (n, seconds), else None.

    An exponent is told where its 95 % interval is no wider than ± 0.5.

    >>> fit = fit_power_law([(2, 8e-6), (4, 64e-6), (8, 512e-6)])
    >>> round(fit.exponent, 6), round(fit.coefficient, 9), fit.says
    (3.0, 1e-06, '3.00 ± 0.00')
    >>> fit_power_law([(2, 8e-6), (4, 1e-6), (8, 512e-6)]).says
    'no power law: ± 44 about 3.0'
    """
    if len(points) < 2:
        return None
    sizes = [n for n, _ in points]
    if len(points) == 2:
        return PowerLaw(None, None, None, sizes, [], "no power law: two points")
    line = line_through(np.log(sizes).tolist(), np.log([t for _, t in points]).tolist())
    slope, at_one = line.slope, math.exp(line.at_zero)
    half = float(stdtrit(len(points) - 2, (1 + CONFIDENCE) / 2)) * line.slope_error  # Student's t
    interval = (slope - half, slope + half)
    if half > WIDEST:
        says = f"no power law: ± {half:.2g} about {slope:.1f}".replace("-", "−")
        return PowerLaw(None, interval, None, sizes, [], says)
    ends = [{"n": float(n), "seconds": at_one * n**slope} for n in (sizes[0], sizes[-1])]
    says = f"{slope:.2f} ± {half:.2f}".replace("-", "−")
    return PowerLaw(slope, interval, at_one, sizes, ends, says)


def scaling(
    variants: Sequence[str] | None = None,
    sizes: Sequence[int] = SIZES,
    *,
    seed: int = 0,
    time_limit: float = 0.1,
    threads: int = 1,
    limits: MatmulLimits = LIMITS,
    should_stop: ShouldStop = never,
) -> Iterator[ScalingEvent]:
    """Time (n, n) @ (n, n) for every size and variant, size by size.

    The floor of a variant is its time at n = 1 (measured even when 1 is not among the sizes), or
    the timer's own; only points well above it enter the fit, for below it the fixed cost of a
    call is measured, not the growth.

    Yields:
        `ScalingStart`, a `ScalingPoint` for each size and variant, `ScalingEnd`.

    Errors:
        as `…matmul.race.race`; ``ValueError`` for sizes that do not ascend.
    """
    chosen = chosen_variants(variants)
    _check_sizes(sizes, seed, time_limit, threads, limits)
    noise = timer_noise()
    yield ScalingStart(
        sizes=list(sizes),
        seed=seed,
        time_limit=float(time_limit),
        threads=threads,
        noise_seconds=noise,
        above_floor=ABOVE_FLOOR,
        variants=[variant.to_dict() for variant in chosen],
    )
    floors: dict[str, float] = {}

    def measured_at(variant: MatmulVariant, n: int) -> Measurement:
        if should_stop():
            raise Stopped
        a, b = operands(n, n, n, seed)
        steps = measure(
            variant, a, b, time_limit=time_limit, threads=threads, should_stop=should_stop
        )
        return next(step for step in steps if isinstance(step, Measurement))

    for variant in chosen:
        measured = measured_at(variant, 1)
        floors[variant.name] = max(noise, measured.best_seconds)
    used: dict[str, list[tuple[int, float]]] = {variant.name: [] for variant in chosen}
    index, total = 0, len(sizes) * len(chosen)
    for n in sizes:
        for variant in chosen:
            reason = limits.skipped(variant, n, n, n)
            if reason:
                yield ScalingPoint(variant.name, n, "skipped", reason, index, total)
            else:
                measured = measured_at(variant, n)
                yield _point(variant, n, index, total, measured, floors, used)
            index += 1
    yield ScalingEnd(fits={name: fit_power_law(points) for name, points in used.items()})


def _check_sizes(
    sizes: Sequence[int], seed: int, time_limit: float, threads: int, limits: MatmulLimits
) -> None:
    if not sizes:
        raise ValueError("no sizes given; expected one or more, ascending")
    if len(sizes) > limits.sizes:
        raise LimitError("number of sizes", limits.sizes, len(sizes))
    for before, after in pairwise(sizes):
        if after <= before:
            raise ValueError(f"size {after} follows {before}; expected ascending sizes")
    for n in sizes:
        limits.check(n, n, n, seed, time_limit, threads)


def _point(
    variant: MatmulVariant,
    n: int,
    index: int,
    total: int,
    measured: Measurement,
    floors: dict[str, float],
    used: dict[str, list[tuple[int, float]]],
) -> ScalingPoint:
    floor = floors[variant.name]
    above = measured.best_seconds >= ABOVE_FLOOR * floor
    if above:
        used[variant.name].append((n, measured.best_seconds))
    extrapolated = measured.fraction < 1
    return ScalingPoint(
        variant=variant.name,
        n=n,
        status="extrapolated" if extrapolated else "measured",
        reason="",
        index=index,
        of=total,
        seconds=measured.best_seconds,
        median_seconds=measured.seconds,
        low_seconds=measured.low_seconds,
        high_seconds=measured.high_seconds,
        gflops=2 * n**3 / measured.best_seconds / 1e9,
        fraction=measured.fraction,
        extrapolated=extrapolated,
        floor_seconds=floor,
        above_floor=above,
        fit=fit_power_law(used[variant.name]),
    )
