"""The matmul race: two matrices, who runs, for how long; and how time grows with n."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import model_validator

from layerscope.app.foundations.readers import number
from layerscope.app.foundations.step import Step, gathered
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.cores import available_cores
from layerscope.engine.basis.specification import Specification, Text, parameter
from layerscope.engine.foundations.matmul import LIMITS, MATMULS, NOTES_SHAPE, SIZES
from layerscope.engine.foundations.matmul.race import RaceEvent, race
from layerscope.engine.foundations.matmul.scaling import ScalingEvent, scaling

__all__ = ["SCALING", "STEP", "RaceForm", "race_events", "scaling_events"]

MOST_SECONDS = 5.0  # for one variant: a race of all then takes less than a minute
MOST_POINT_SECONDS = 1.0
ALL = "all"


def _variants(text: str) -> tuple[str, ...]:
    if text.strip() in ("", ALL):
        return tuple(MATMULS)
    names = [part.strip() for part in text.split(",")]
    for place, name in enumerate(names):
        if name not in MATMULS:
            raise ValueError(
                f"unknown variant {name[:40]!r}; expected {ALL}, or some of: {', '.join(MATMULS)}"
            )
        if name in names[:place]:
            raise ValueError(f"{name} is named twice; expected each once")
    return tuple(name for name in MATMULS if name in names)


_M, _K, _N = NOTES_SHAPE


def _side(default: int, title: str, help: str) -> Any:  # noqa: A002 - as `parameter` has it
    return parameter(default, title, help, ge=1, le=LIMITS.side)


class RaceForm(Specification):
    """Two matrices, who runs, for how long; held to the engine's limits, nothing is allocated."""

    m: int = _side(_M, "m", "Rows of a, and of the result.")
    k: int = _side(_K, "k", "Columns of a, rows of b: summed over.")
    n: int = _side(_N, "n", "Columns of b, and of the result.")
    time_limit: Annotated[float, Text(number(0.01, MOST_SECONDS))] = parameter(
        "1", "Time limit", "Seconds for one variant; slower ones are extrapolated, and marked.",
        slider=(0.05, MOST_SECONDS), step=0.05,
    )  # fmt: skip
    threads: int = parameter(
        1, "Cores",
        "How many cores torch and NumPy may use; one compares the code, not the machine.",
        ge=1, le=max(1, available_cores()),
    )  # fmt: skip
    seed: int = parameter(0, "Seed", "Of the two matrices.", ge=0, le=2**53 - 1)
    variants: Annotated[tuple[str, ...], Text(_variants, 400)] = parameter(
        ALL, "Variants", f"{ALL}, or names separated by commas: {', '.join(MATMULS)}."
    )
    largest: int = parameter(
        512, "Largest n",
        f"Time against n: square matrices of {SIZES[0]}, {SIZES[1]}, {SIZES[2]}, … up to this.",
        ge=2, le=SIZES[-1],
    )  # fmt: skip
    point_limit: Annotated[float, Text(number(0.01, MOST_POINT_SECONDS))] = parameter(
        "0.05", "Time per point", "Time against n: seconds for one variant at one n."
    )

    @model_validator(mode="after")
    def _within_limits(self) -> Self:
        LIMITS.check(self.m, self.k, self.n, self.seed, self.time_limit, self.threads)
        return self


def race_events(asked: RaceForm, should_stop: ShouldStop) -> Iterator[RaceEvent]:
    """The race that the fields describe."""
    return race(
        asked.m, asked.k, asked.n,
        seed=asked.seed, time_limit=asked.time_limit, threads=asked.threads,
        variants=asked.variants, should_stop=should_stop,
    )  # fmt: skip


def scaling_events(asked: RaceForm, should_stop: ShouldStop) -> Iterator[ScalingEvent]:
    """Time against n, up to the largest size asked for."""
    return scaling(
        sizes=[size for size in SIZES if size <= asked.largest],
        seed=asked.seed, time_limit=asked.point_limit, threads=asked.threads,
        variants=asked.variants, should_stop=should_stop,
    )  # fmt: skip


def _race(asked: RaceForm, should_stop: ShouldStop) -> dict[str, Any]:
    return gathered(race_events(asked, should_stop), "results", "race_result")


def _scaling(asked: RaceForm, should_stop: ShouldStop) -> dict[str, Any]:
    return gathered(scaling_events(asked, should_stop), "results", "scaling_point")


STEP = Step(
    name="matmul",
    title="Matmul race",
    lead="One product of two matrices, from three Python loops to BLAS: what each loop less is "
    "worth.",
    form=RaceForm,
    answer=_race,
    alone=True,
    summary="The matmul race",
    help="Every way to multiply (m, k) by (k, n), one after the other: median time, speed-up over "
    "three Python loops, GFLOP/s, share of the machine's measured peak, extra memory, error "
    "against float64. One race runs at a time; the next waits. Loops that pass their time limit "
    "are timed on a part and marked as extrapolated.",
    example={"ranking": [{"place": 1, "variant": "matmul", "seconds": 6.4e-6}]},
)

SCALING = replace(
    STEP,
    name="matmul/scaling",
    title="Time against n",
    answer=_scaling,
    summary="How the time grows with n: points, and the fitted exponents",
    example={"fits": {"loops": {"exponent": 3.0}}},
)
"""The race's second half, on the same page."""
