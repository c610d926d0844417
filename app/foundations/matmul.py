"""The matmul race's question: two matrices, who runs, for how long; and how time grows with n."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from layerscope.app.foundations.query import Field, Question, number, whole
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.cores import available_cores
from layerscope.engine.foundations.matmul import (
    LIMITS,
    MATMULS,
    NOTES_SHAPE,
    SIZES,
    RaceEvent,
    ScalingEvent,
)
from layerscope.engine.foundations.matmul.race import race
from layerscope.engine.foundations.matmul.scaling import scaling

__all__ = ["MATMUL", "check", "race_events", "scaling_events"]

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


def check(values: Mapping[str, Any]) -> None:
    """Refuse what is over the engine's limits; nothing is allocated.

    Errors: ``ValueError`` naming the value and what was expected.
    """
    v = values
    LIMITS.check(v["m"], v["k"], v["n"], v["seed"], v["time_limit"], v["threads"])


def race_events(values: Mapping[str, Any], should_stop: ShouldStop) -> Iterator[RaceEvent]:
    """The race that the fields describe."""
    v = values
    return race(
        v["m"], v["k"], v["n"],
        seed=v["seed"], time_limit=v["time_limit"], threads=v["threads"],
        variants=v["variants"], should_stop=should_stop,
    )  # fmt: skip


def scaling_events(values: Mapping[str, Any], should_stop: ShouldStop) -> Iterator[ScalingEvent]:
    """Time against n, up to the largest size asked for."""
    v = values
    return scaling(
        sizes=[size for size in SIZES if size <= v["largest"]],
        seed=v["seed"], time_limit=v["point_limit"], threads=v["threads"],
        variants=v["variants"], should_stop=should_stop,
    )  # fmt: skip


def _answer(**values: Any) -> None:
    check(values)


_M, _K, _N = NOTES_SHAPE

MATMUL = Question(
    name="matmul",
    summary="The matmul race",
    help="Every way to multiply (m, k) by (k, n), one after the other: median time, speed-up over "
    "three Python loops, GFLOP/s, share of the machine's measured peak, extra memory, error "
    "against float64. One race runs at a time; the next waits. Loops that pass their time limit "
    "are timed on a part and marked as extrapolated.",
    fields=(
        Field("m", "m", str(_M), whole(1, LIMITS.side), "Rows of a, and of the result."),
        Field("k", "k", str(_K), whole(1, LIMITS.side), "Columns of a, rows of b: summed over."),
        Field("n", "n", str(_N), whole(1, LIMITS.side), "Columns of b, and of the result."),
        Field(
            "time_limit", "Time limit", "1", number(0.01, MOST_SECONDS),
            "Seconds for one variant; slower ones are extrapolated, and marked.",
            slider=(0.05, MOST_SECONDS, 0.05),
        ),
        Field(
            "threads", "Cores", "1", whole(1, max(1, available_cores())),
            "How many cores torch and NumPy may use; one compares the code, not the machine.",
        ),
        Field("seed", "Seed", "0", whole(0, 2**53 - 1), "Of the two matrices."),
        Field(
            "variants", "Variants", ALL, _variants,
            f"{ALL}, or names separated by commas: {', '.join(MATMULS)}.", longest=400,
        ),
        Field(
            "largest", "Largest n", "512", whole(2, SIZES[-1]),
            f"Time against n: square matrices of {SIZES[0]}, {SIZES[1]}, {SIZES[2]}, … up to this.",
        ),
        Field(
            "point_limit", "Time per point", "0.05", number(0.01, MOST_POINT_SECONDS),
            "Time against n: seconds for one variant at one n.",
        ),
    ),
    answer=_answer,
    example={"ranking": [{"place": 1, "variant": "matmul", "seconds": 6.4e-6}]},
)  # fmt: skip
