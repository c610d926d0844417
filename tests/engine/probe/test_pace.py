"""Which steps are recorded within a budget."""

from __future__ import annotations

import pytest
from torch import nn

from layerscope.engine.probe import pace as pacing
from layerscope.engine.probe.pace import Pace


def _recorded(pace: Pace, steps: int, *, plain: float, recorded: float) -> list[int]:
    """The numbers of the recorded of so many steps that take so many seconds."""
    found = []
    for number in range(1, steps + 1):
        records = pace.records(number)
        if records:
            found.append(number)
        pace.ended(number, recorded if records else plain, records, calls=0, size=0)
    return found


def test_a_budget_goes_by_several_steps_of_both_kinds():
    pace = Pace(None, 0.01)
    found = _recorded(pace, 40, plain=1e-3, recorded=0.1)
    assert found[:4] == [1, 4, 7, 10]
    assert pace.interval > 400


def test_however_dear_records_are_a_short_training_has_some():
    found = _recorded(Pace(None, 0.01), 400, plain=1e-3, recorded=0.1)
    assert found == [1, 4, 7, 10, 13, 17, 23, 30, 39, 51, 67, 88, 115, 150, 195, 254, 331]


def test_a_single_dear_record_does_not_set_the_interval():
    pace = Pace(None, 0.5)
    for number, seconds in enumerate([1.0, 1.0, 1.0, 100.0, 1.0, 1.0, 1.1, 1.0, 1.0, 1.1], start=1):
        pace.ended(number, seconds, pace.records(number), calls=0, size=0)
    assert pace.interval < 4


@pytest.mark.parametrize("every", [1, 3])
def test_whoever_names_the_steps_gets_them(every):
    found = _recorded(Pace(every, 0.01), 9, plain=1e-3, recorded=0.1)
    assert found == list(range(1, 10, every))


CALLS = 100


@pytest.mark.parametrize("after", [0.0, 1e-3])
@pytest.mark.parametrize("own", [0.0, 1e-4])
@pytest.mark.parametrize("call", [1e-7, 1e-6, 3e-6])
@pytest.mark.parametrize("extra", [1e-4, 1e-3, 1e-2])
def test_all_that_recording_costs_stays_within_the_budget(monkeypatch, extra, call, own, after):
    """Of a training whose step takes 10 ms by itself: following the modules, what is done in every
    step, records, and what they leave to the step behind them."""
    monkeypatch.setattr(pacing, "call_seconds", lambda: call)
    pace, bare, budget = Pace(None, 0.05), 1e-2, 0.05
    spent, behind, steps = 0.0, False, 3000
    for number in range(1, steps + 1):
        records = pace.records(number)
        follows = records or pace.looks_out
        cost = own + follows * CALLS * call + records * extra + behind * after
        pace.ended(number, bare + cost, records, CALLS * follows, 0, own)
        spent += cost
        behind = records
    assert pace.recorded > 3
    assert spent <= 1.2 * budget * bare * steps  # until it has found its interval it spends more
    assert pace.cost()["share"] == pytest.approx(spent / (spent + bare * steps), abs=0.01)


def test_where_every_step_costs_more_than_the_budget_records_are_rare_and_go_on():
    pace = Pace(None, 0.05)
    for number in range(1, 4001):
        records = pace.records(number)
        pace.ended(number, 1.1e-3 + records * 1e-3, records, 0, 0, 1e-4)
    assert pace.interval == pytest.approx(40, abs=3)
    assert pace.cost()["share"] == pytest.approx(0.115, abs=0.02)


@pytest.mark.parametrize(("every", "after"), [(2, 0.0), (10, 0.0), (10, 1e-3)])
def test_what_recording_costs_is_told_too_where_the_steps_are_named(monkeypatch, every, after):
    """Where every other step is recorded, none of the others shows what a record leaves behind."""
    monkeypatch.setattr(pacing, "call_seconds", lambda: 3e-6)
    pace, spent, behind = Pace(every, 0.05), 0.0, False
    for number in range(1, 301):
        records = pace.records(number)
        cost = 1e-4 + CALLS * 3e-6 + records * 1e-3 + behind * after
        pace.ended(number, 1e-2 + cost, records, CALLS, 0, 1e-4)
        spent += cost
        behind = records
    assert pace.cost()["share"] == pytest.approx(spent / (spent + 3.0), rel=0.02)


def test_what_a_hook_costs_is_measured_with_one_and_without_and_none_is_left(monkeypatch):
    hooks, there = nn.modules.module._global_forward_hooks, []

    def median(found):
        assert len(found) == pacing.CALLS
        assert min(found) > 0.0
        there.append(len(hooks))
        return 2e-6 if hooks else 5e-7

    monkeypatch.setattr(pacing, "median", median)
    assert pacing.call_seconds.__wrapped__() == pytest.approx(1.5e-6)
    assert there == [0, 1]
    assert not hooks


def test_a_hook_is_left_by_no_measurement_that_fails(monkeypatch):
    hooks = nn.modules.module._global_forward_hooks

    def median(found):
        return 1.0 / (not hooks)

    monkeypatch.setattr(pacing, "median", median)
    with pytest.raises(ZeroDivisionError):
        pacing.call_seconds.__wrapped__()
    assert not hooks
