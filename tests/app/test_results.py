"""How much of a result is computed, and whether that is quick."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import orjson
import pytest
from rich.console import Console

from layerscope.app.pages.lab.progress import Progress
from layerscope.app.results import (
    LeftOut,
    complete,
    events,
    is_quick,
    planned,
    unchecked_events,
)
from layerscope.app.settings import Settings
from layerscope.app.terminal import show
from layerscope.engine.basis.cancellation import never
from layerscope.engine.diagnosis.run import FixEvent, ResultCost, Summary
from layerscope.engine.execution.cost import OverLimit
from layerscope.engine.execution.memory import peak_bytes
from layerscope.engine.execution.prices import TYPICAL
from layerscope.engine.experiment.specification import Experiment

SMALL = Experiment(depth=1)
FAULTY = Experiment(depth=2, width=4, batch=8, init="zeros")
UNFIXED = LeftOut(unfixed="no fix was tried: too dear")


def test_a_result_is_as_quick_as_all_that_is_run_for_it(monkeypatch):
    monkeypatch.setattr("layerscope.engine.execution.prices._used", TYPICAL)
    parts = ResultCost.of(SMALL)
    with_fixes, without = parts.sum(check=True), parts.sum(check=True, fixes=False)
    assert not is_quick(with_fixes.flops)
    assert not planned(SMALL, Settings()).quick
    assert is_quick(without.flops)
    assert planned(SMALL, Settings(max_flops=without.flops)).quick  # the fixes are left out


def test_what_takes_long_without_its_fixes_is_not_quick(monkeypatch):
    monkeypatch.setattr("layerscope.engine.execution.prices._used", replace(TYPICAL, layer=5e8))
    assert not planned(Experiment(), Settings()).quick


@pytest.mark.parametrize("dimension", ["flops", "bytes"])
@pytest.mark.parametrize(("check", "fixes"), [(True, True), (True, False), (False, False)], ids=str)
def test_over_a_limit_fixes_are_left_out_before_the_check(monkeypatch, dimension, check, fixes):
    monkeypatch.setattr("layerscope.engine.execution.prices._used", TYPICAL)
    parts = ResultCost.of(Experiment())
    needed = parts.sum(check=check, fixes=fixes)
    limit = getattr(needed, dimension)
    # Of parts that follow one another memory is that of the largest, which may be the same.
    expected = next(
        (c, f) for c, f in [(True, True), (True, False), (False, True), (False, False)]
        if getattr(parts.sum(check=c, fixes=f), dimension) <= limit
    )  # fmt: skip
    left = planned(Experiment(), Settings(**{f"max_{dimension}": limit})).left_out
    assert (not left.unchecked, not left.unfixed) == expected
    with pytest.raises(OverLimit):
        least = getattr(parts.sum(check=False, fixes=False), dimension)
        planned(Experiment(), Settings(**{f"max_{dimension}": least - 1}))


def test_fixes_stay_where_leaving_out_the_check_is_what_helps():
    left = planned(Experiment(), Settings(check_max_flops=1)).left_out
    assert left.unchecked
    assert not left.unfixed


def test_what_is_left_out_is_said_wherever_a_result_is_told():
    whole = orjson.loads(complete(FAULTY, UNFIXED, never))
    assert whole["unfixed"] == UNFIXED.unfixed
    assert whole["findings"]
    assert not any(finding["fix_verified"] for finding in whole["findings"])
    told = list(events(FAULTY, UNFIXED, never))
    [summary] = [event for event in told if isinstance(event, Summary)]
    assert summary.to_dict()["unfixed"] == UNFIXED.unfixed
    assert not any(isinstance(event, FixEvent) for event in told)
    progress = Progress(FAULTY, "/")
    for event in told:
        progress.take(event)
    assert progress.verdict is not None
    assert progress.verdict.settled  # nobody waits for fixes
    assert progress.verdict.unfixed == UNFIXED.unfixed
    printed = StringIO()
    show(unchecked_events(FAULTY, UNFIXED, never), Console(file=printed, width=100))
    assert UNFIXED.unfixed in printed.getvalue()


def test_with_everything_computed_nothing_is_said():
    whole = orjson.loads(complete(FAULTY, LeftOut(), never))
    assert whole["unfixed"] is None
    assert any(finding["fix_verified"] for finding in whole["findings"])


@pytest.mark.parametrize("limit", [1, 10**12])
def test_every_part_is_priced_once(monkeypatch, limit):
    priced: list[Experiment] = []

    def counted(experiment: Experiment) -> int:
        priced.append(experiment)
        return peak_bytes(experiment)

    monkeypatch.setattr("layerscope.engine.execution.cost.peak_bytes", counted)
    planned(Experiment(dtype="float16"), Settings(check_max_flops=limit))
    # the passes, those of three changes, two for each comparison, and the trial's in float32
    assert len(priced) == 9
