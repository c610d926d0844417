"""Which steps are recorded within a budget."""

from __future__ import annotations

import pytest

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
    assert _recorded(pace, 400, plain=1e-3, recorded=0.1) == [1, 4, 7, 10]
    assert pace.interval > 400


def test_a_single_dear_record_does_not_set_the_interval():
    pace = Pace(None, 0.5)
    for number, seconds in enumerate([1.0, 1.0, 1.0, 100.0, 1.0, 1.0, 1.1, 1.0, 1.0, 1.1], start=1):
        pace.ended(number, seconds, pace.records(number), calls=0, size=0)
    assert pace.interval < 4


@pytest.mark.parametrize("every", [1, 3])
def test_whoever_names_the_steps_gets_them(every):
    found = _recorded(Pace(every, 0.01), 9, plain=1e-3, recorded=0.1)
    assert found == list(range(1, 10, every))
