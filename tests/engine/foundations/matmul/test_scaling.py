"""Time against n: the points, and the exponent fitted through those that mean something."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator

import numpy as np
import pytest
from torch import Tensor

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.foundations.matmul import (
    MatmulLimits,
    PowerLaw,
    ScalingEnd,
    ScalingPoint,
    ScalingStart,
    scaling,
)
from layerscope.engine.foundations.matmul.base import MatmulVariant
from layerscope.engine.foundations.matmul.scaling import fit_power_law
from layerscope.engine.foundations.matmul.timing import Measurement


def test_the_fit_is_the_regression_of_the_logarithms() -> None:
    noise = random.Random(4)
    points = [(n, 3e-9 * n**2.7 * math.exp(noise.gauss(0, 0.2))) for n in (8, 16, 32, 64, 128, 256)]
    ours = fit_power_law(points)
    assert ours is not None
    x, y = (np.log(column) for column in zip(*points, strict=True))
    slope, intercept = np.polyfit(x, y, 1)
    residual = np.sum((y - intercept - slope * x) ** 2)
    error = math.sqrt(residual / (len(points) - 2) / np.sum((x - x.mean()) ** 2))
    assert ours.exponent == pytest.approx(slope, rel=1e-10)
    half = 2.7764 * error  # Student's t at 97.5 % with four degrees of freedom
    assert ours.interval == pytest.approx((slope - half, slope + half), rel=1e-4)
    assert ours.says == f"{slope:.2f} ± {half:.2f}"
    assert ours.coefficient is not None
    assert math.log(ours.coefficient) == pytest.approx(intercept, rel=1e-10)
    assert [end["n"] for end in ours.line] == [8, 256]
    assert ours.line[1]["seconds"] == pytest.approx(ours.coefficient * 256**ours.exponent)


@pytest.mark.parametrize(
    "times",
    [(1e-3, 1e-6, 1e-3, 1e-6), (1e-6, 9e-3, 2e-6, 9e-6), (1e-6, 4e-6, 1e-6, 4e-6)],
    ids=["to and fro", "one disturbed", "saw"],
)
def test_points_that_hold_no_power_law_give_no_exponent_and_no_line(
    times: tuple[float, ...],
) -> None:
    fit = fit_power_law(list(zip((2, 4, 8, 16), times, strict=True)))
    assert fit is not None
    assert fit.exponent is None
    assert fit.coefficient is None
    assert fit.line == []
    assert fit.interval is not None
    low, high = fit.interval
    assert high - low > 1
    assert fit.says.startswith("no power law: ± ")
    assert f"{(high - low) / 2:.2g}" in fit.says


def test_equal_times_are_a_level_line() -> None:
    fit = fit_power_law([(2, 1e-6), (4, 1e-6), (8, 1e-6)])
    assert fit is not None
    assert (fit.exponent, fit.interval) == (0, (0, 0))


def test_two_points_make_no_power_law_and_one_makes_no_fit() -> None:
    two = fit_power_law([(10, 1e-3), (100, 1.0)])
    assert two is not None
    assert (two.exponent, two.interval, two.line) == (None, None, [])
    assert two.says == "no power law: two points"
    assert fit_power_law([(10, 1e-3)]) is None
    assert fit_power_law([]) is None


def test_the_points_above_the_floor_are_fitted_as_they_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cubic(variant: MatmulVariant, a: Tensor, b: Tensor, **_: object) -> Iterator[Measurement]:
        n = len(a)
        t = 1e-6 + 5e-7 * n**3  # a fixed cost, which is the floor, and the growth
        yield Measurement(t, t, t, t, 5, 5, 1.0, 0.0, a @ b, n, 0)

    monkeypatch.setitem(scaling.__globals__, "measure", cubic)
    monkeypatch.setitem(scaling.__globals__, "timer_noise", lambda: 1e-9)
    events = list(scaling(["loops"], [1, 2, 4, 8, 16, 24], time_limit=0.2))
    assert isinstance(events[0], ScalingStart)
    assert isinstance(events[-1], ScalingEnd)
    points = [event for event in events if isinstance(event, ScalingPoint)]
    assert [point.n for point in points] == [1, 2, 4, 8, 16, 24]
    assert [point.index for point in points] == [0, 1, 2, 3, 4, 5]
    assert [point.above_floor for point in points] == [False, False, True, True, True, True]
    assert points[2].fit is None  # one point makes no line
    fit = events[-1].fits["loops"]
    assert isinstance(fit, PowerLaw)
    assert fit.exponent == pytest.approx(3, abs=0.03)
    assert points[-1].fit == fit
    assert fit.sizes == [4, 8, 16, 24]


def test_a_long_point_is_extrapolated_and_marked() -> None:
    points = [e for e in scaling(["loops"], [256], time_limit=0.05) if isinstance(e, ScalingPoint)]
    assert points[0].status == "extrapolated"
    assert points[0].extrapolated
    assert points[0].fraction is not None
    assert 0 < points[0].fraction < 1
    assert points[0].fit is None


def test_points_in_the_fixed_cost_of_a_call_do_not_enter_the_fit() -> None:
    events = list(scaling(["einsum"], [1, 2, 3], time_limit=0.05))
    for point in (event for event in events if isinstance(event, ScalingPoint)):
        assert point.floor_seconds is not None
        assert point.seconds is not None
        assert point.above_floor == (point.seconds >= 4 * point.floor_seconds)
    assert isinstance(events[0], ScalingStart)
    assert events[0].above_floor == 4


def test_events_are_json() -> None:
    for event in scaling(
        ["broadcast", "matmul"], [4, 8], time_limit=0.02, limits=MatmulLimits(extra_bytes=300)
    ):
        told = json.loads(json.dumps(event.to_dict(), allow_nan=False))
        if told.get("n") == 8 and told["variant"] == "broadcast":
            assert told["status"] == "skipped"
            assert told["reason"].startswith("skipped: would need 2 KiB")


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([], "no sizes given"),
        ([4, 4], "size 4 follows 4; expected ascending"),
        ([0, 1], "m is 0"),
        ([4096], "floating-point operations"),
        (list(range(1, 19)), "number of sizes: 18 asked for, at most 16"),
    ],
)
def test_bad_sizes_are_refused(sizes: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        next(scaling(["matmul"], sizes))


def test_stops() -> None:
    events = scaling(["loops"], [64], should_stop=lambda: True)
    next(events)
    with pytest.raises(Stopped):
        next(events)
