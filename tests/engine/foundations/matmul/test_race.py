"""The race: what it reports, what it refuses, and the notes' order on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.basis.cores import on_cores
from layerscope.engine.foundations.errors import LimitError
from layerscope.engine.foundations.matmul import (
    MATMULS,
    NOTES_SHAPE,
    NOTES_TABLE,
    MatmulLimits,
    RaceEnd,
    RaceResult,
    RaceStart,
    measured_peak,
    race,
)
from layerscope.engine.foundations.matmul.race import operands


@pytest.fixture
def one_thread() -> Iterator[None]:
    """BLAS threads that wait for a busy core are not what is measured here."""
    with on_cores(1):
        yield


def test_reports_every_variant_in_order() -> None:
    events = list(race(4, 9, 3, time_limit=0.05))
    start, end = events[0], events[-1]
    assert isinstance(start, RaceStart)
    assert isinstance(end, RaceEnd)
    results = [event for event in events if isinstance(event, RaceResult)]
    assert [result.variant for result in results] == list(MATMULS)
    assert [variant["name"] for variant in start.variants] == list(MATMULS)
    assert start.multiply_adds == 4 * 9 * 3
    loops = results[0]
    assert loops.speedup == 1
    assert loops.seconds is not None
    for result in results:
        assert result.status == "measured"
        assert result.seconds is not None
        assert result.gflops == pytest.approx(216 / result.seconds / 1e9)
        assert result.speedup == pytest.approx(loops.seconds / result.seconds)
        assert result.share_of_peak == pytest.approx(result.gflops / start.peak["gflops"])
        assert result.cells_checked == 12
        assert result.max_abs_error is not None
        assert result.max_abs_error < 1e-5
    assert [place.place for place in end.ranking] == list(range(1, len(MATMULS) + 1))
    times = [place.seconds for place in end.ranking]
    assert times == sorted(times)
    assert end.ranking[0].slower_than_best == 1


def test_events_are_json_with_texts() -> None:
    for event in race(3, 5, 2, time_limit=0.02, limits=MatmulLimits(extra_bytes=60)):
        told = json.loads(json.dumps(event.to_dict(), allow_nan=False))
        for name, value in told.items():
            if isinstance(value, float):
                assert told[f"{name}_text"], (event.event, name)
    assert "µs" in told["ranking"][0]["seconds_text"] or "ns" in told["ranking"][0]["seconds_text"]


def test_a_part_of_a_long_loop_is_marked_and_only_its_cells_are_judged() -> None:
    result = next(
        event
        for event in race(300, 300, 300, time_limit=0.1, variants=["loops"])
        if isinstance(event, RaceResult)
    )
    assert result.extrapolated
    assert result.status == "extrapolated"
    assert result.speedup_extrapolated
    assert "% of the multiply-adds were computed" in result.reason
    assert result.fraction is not None
    assert result.cells_checked == round(result.fraction * 300 * 300)
    assert result.max_abs_error is not None
    assert 0 < result.max_abs_error < 1e-3
    assert result.seconds is not None
    assert result.seconds > 10  # 27 million interpreter steps


def test_progress_comes_while_a_slow_variant_runs() -> None:
    events = list(race(200, 300, 200, time_limit=0.5, variants=["loops"]))
    fractions = [event.fraction for event in events if event.event == "race_progress"]
    assert len(fractions) >= 3
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < fractions[-1] <= 1


def test_a_variant_that_needs_too_much_memory_is_skipped_by_name() -> None:
    events = list(race(600, 600, 600, variants=["broadcast", "matmul"], time_limit=0.05))
    skipped = next(event for event in events if isinstance(event, RaceResult))
    assert skipped.status == "skipped"
    assert skipped.reason.startswith("skipped: would need 824 MiB beside operands and result")
    assert skipped.seconds is skipped.speedup is skipped.max_abs_error is None
    assert skipped.to_dict()["seconds_text"] == ""
    assert isinstance(events[-1], RaceEnd)
    assert events[-1].skipped == ["broadcast"]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, 1, 1), {}, "m is 0; expected at least 1"),
        ((1, -2, 1), {}, "k is -2; expected at least 1"),
        ((1, 1, 5000), {}, "size n of the matrices: 5000 asked for, at most 4096 allowed"),
        ((4096, 4096, 4096), {}, r"floating-point operations 2·m·k·n: 137438953472 asked for"),
        ((1, 1, 1), {"seed": -1}, "seed is -1"),
        ((1, 1, 1), {"time_limit": float("nan")}, "time_limit is nan"),
        ((1, 1, 1), {"time_limit": 31.0}, "at most 30 s"),
        ((1, 1, 1), {"threads": 0}, "threads is 0; expected 1 to"),
        ((1, 1, 1), {"variants": []}, "no variant chosen"),
        (
            (1, 1, 1),
            {"variants": ["blas"]},
            "unknown matmul variant 'blas'; expected one of: loops",
        ),
        ((1, 1, 1), {"variants": ["loops", "loops"]}, "chosen twice"),
    ],
)
def test_bad_requests_are_refused_before_anything_runs(arguments, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        next(race(*arguments, **options))


def test_a_limit_names_what_was_asked_for() -> None:
    with pytest.raises(LimitError) as caught:
        next(race(9000, 1, 1))
    assert (caught.value.allowed, caught.value.asked) == (4096, 9000)


def test_the_same_seed_gives_the_same_bits() -> None:
    for ours, again in zip(operands(3, 4, 5, 7), operands(3, 4, 5, 7), strict=True):
        assert torch.equal(ours, again)
    assert not torch.equal(operands(3, 4, 5, 7)[0], operands(3, 4, 5, 8)[0])


@pytest.mark.parametrize("name", MATMULS)
def test_nothing_is_done_once_a_stop_was_asked_for(name: str) -> None:
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with pytest.raises(Stopped):
        list(race(380, 380, 380, time_limit=20.0, variants=[name], should_stop=should_stop))
    assert asked == 4


def test_stop_is_asked_for_before_the_first_event() -> None:
    with pytest.raises(Stopped):
        next(race(2, 2, 2, should_stop=lambda: True))


def test_the_peak_is_measured_once() -> None:
    first = measured_peak()
    assert measured_peak() is first
    assert first.threads == 1
    assert first.gflops > 1
    assert f"{first.size} × {first.size}" in first.to_dict()["text"]


@pytest.mark.slow
def test_a_stopped_peak_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerscope.engine.foundations.matmul.peak._peaks", {})
    with pytest.raises(Stopped):
        measured_peak(should_stop=lambda: True)
    assert measured_peak().gflops > 1


def test_the_notes_table_is_as_in_the_notes() -> None:
    assert NOTES_SHAPE == (5, 784, 10)
    told = {row.variant: row.to_dict() for row in NOTES_TABLE}
    assert [row["seconds_text"] for row in told.values()] == [
        "325 ms", "488 µs", "414 µs", "26.9 µs", "6.42 µs",
    ]  # fmt: skip
    assert told["matmul"]["speedup"] == pytest.approx(325e-3 / 6.42e-6)
    assert set(told) <= set(MATMULS)
