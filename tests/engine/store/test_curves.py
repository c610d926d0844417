"""Curves that are remembered: the same as read anew, whatever came since."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import event

from layerscope.engine.store import Batch, Store, curves
from layerscope.engine.store.entries import Finish, Start, StepEntry
from layerscope.engine.store.location import located

ENOUGH = 1000


@pytest.fixture
def store(tmp_path):
    opened = Store(located(f"sqlite:///{tmp_path}/runs.db"))
    yield opened
    opened.close()


def begin(store, run="run", created=0.0):
    store.append(run, Batch(1, [Start(run, {}, created)]))


def add(store, first, *numbers, run="run"):
    entries = [StepEntry(n, float(n), None if n % 7 == 0 else 1.0 / (1 + n), b"") for n in numbers]
    store.append(run, Batch(first, entries))


def shown(store, run="run", start=None, stop=None):
    """What is shown of a run, which must be what somebody sees who never looked before."""
    anew = Store(store._database.url)
    expected = anew.steps(run, start, stop, points=ENOUGH)
    anew.close()
    found = store.steps(run, start, stop, points=ENOUGH)
    assert found == expected
    return [step.number for step in found]


def test_only_what_came_since_is_read_and_it_is_all(store):
    begin(store)
    add(store, 2, *range(100))
    assert shown(store) == list(range(100))
    rows = []
    engine = store._database._engine

    @event.listens_for(engine, "after_cursor_execute")
    def counted(connection, cursor, statement, parameters, context, many):
        if "sequence >" in statement:
            rows.append(parameters)

    add(store, 102, *range(100, 110))
    assert shown(store) == list(range(110))
    assert [p for p in rows if 101 in p]
    add(store, 112, 50, 51, 200)  # a run that went back
    assert shown(store) == sorted([*range(110), 50, 51, 200])
    assert shown(store, start=50, stop=53) == [50, 50, 51, 51, 52]
    assert shown(store, start=500) == []


def test_a_run_that_has_the_row_of_one_that_is_gone_is_another(store):
    begin(store)
    add(store, 2, *range(10))
    assert shown(store) == list(range(10))
    store.append("run", Batch(12, [Finish("finished", 0.0)]))
    store.delete("run")
    assert store.purge("run", -1)
    begin(store, created=1.0)
    add(store, 2, *range(40, 60))
    assert shown(store) == list(range(40, 60))


def test_those_that_were_asked_for_last_are_remembered(store, monkeypatch):
    monkeypatch.setattr(curves, "MOST_STEPS", 25)
    for run in ("a", "b", "c"):
        begin(store, run)
        add(store, 2, *range(10), run=run)
    for run in ("a", "b", "a", "c"):
        assert shown(store, run) == list(range(10))
    assert [name[1] for name in store._curves._known] == ["a", "c"]
    begin(store, "long")
    add(store, 2, *range(100), run="long")
    assert shown(store, "long") == list(range(100))
    assert not store._curves._known  # by itself more than may be kept


def test_what_is_not_a_number_stays(store):
    begin(store)
    store.append("run", Batch(2, [StepEntry(1, 0.0, float("nan"), b"")]))
    assert np.isnan(store.steps("run", points=ENOUGH)[0].loss)
    store.append("run", Batch(3, [StepEntry(2, 0.0, float("inf"), b"")]))
    assert np.isinf(store.steps("run", points=ENOUGH)[1].loss)
