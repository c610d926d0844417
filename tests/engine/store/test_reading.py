"""Reading: pages, ranges, fewer points, what came since, and who is still alive."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from sqlalchemy import event, make_url

from layerscope.engine.store import Batch, NoSuchRun, Store, open_run, reading
from layerscope.engine.store.entries import (
    Findings,
    Finish,
    Modules,
    Start,
    StepEntry,
    StoredFinding,
)
from layerscope.engine.store.reading import STALE_SECONDS
from tests.runs import facts


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(to, clock):
    made = Store(make_url(to), clock=clock)
    yield made
    made.close()


def begin(store, run, created=0.0, *entries, name=None):
    store.append(run, Batch(1, [Start(name, {}, created), *entries]))


def test_pages_are_newest_first_and_leave_nothing_out(store):
    for number in range(7):
        begin(store, f"run{number}", float(number // 2))  # two of an age
    seen, before = [], None
    while True:
        runs, before = store.runs(3, before)
        seen += [run.id for run in runs]
        if before is None:
            break
    assert seen == ["run6", "run5", "run4", "run3", "run2", "run1", "run0"]
    with pytest.raises(ValueError, match="expected what `next` said, got 'x'"):
        store.runs(3, "x")


def test_a_run_is_found_by_id_by_its_beginning_and_by_name(store):
    begin(store, "abc1", 1.0, name="digits")
    begin(store, "abd2", 2.0, name="digits")
    begin(store, "a_c3", 3.0, name="50%")
    assert [r.id for r in store.find("abc1")] == ["abc1"]
    assert [r.id for r in store.find("ab")] == ["abd2", "abc1"]
    assert [r.id for r in store.find("digits")] == ["abd2", "abc1"]
    assert [r.id for r in store.find("a_")] == ["a_c3"]
    assert store.find("%") == []
    with pytest.raises(KeyError, match="there is no run 'nobody'"):
        store.run("nobody")
    with pytest.raises(KeyError):
        store.follow("nobody")
    with pytest.raises(KeyError):
        store.steps("nobody")


def test_who_gives_no_sign_of_life_has_stopped(store, clock):
    begin(store, "run")
    clock.now += STALE_SECONDS
    assert store.run("run").state == "running"
    clock.now += 1
    assert store.run("run").state == "stopped"
    store.append("run", Batch(2, []))  # it lives
    assert store.run("run").state == "running"
    store.append("run", Batch(2, [Finish("failed", 0.0)]))
    clock.now += 1e6
    assert store.run("run").state == "failed"


def test_following_gives_everything_once_and_in_order(store):
    begin(store, "run", 0.0, Modules([f.to_bytes() for f in facts(2)]))
    steps = [StepEntry(n, 0.0, float(n), bytes([n])) for n in range(5)]
    found = StoredFinding("error", "t", {"rule": "r"})
    store.append("run", Batch(3, [*steps[:3], Findings([found], whole=False), *steps[3:]]))
    seen, cursor = [], 0
    while True:
        came = store.follow("run", cursor, limit=2)
        seen.append((
            [s.number for s in came.steps], came.modules is not None, came.findings is not None
        ))  # fmt: skip
        cursor = came.cursor
        if not came.more:
            break
    assert seen == [([0, 1], True, False), ([2, 3], False, True), ([4], False, False)]
    assert cursor == store.run("run").sequence
    again = store.follow("run", cursor)
    assert (again.steps, again.modules, again.findings, again.cursor) == ([], None, None, cursor)
    store.append("run", Batch(cursor + 1, [Finish("finished", 0.0)]))
    after = store.follow("run", cursor)
    assert (after.steps, after.run.state, after.cursor) == ([], "finished", cursor + 1)


def test_modules_are_read_only_where_they_are_asked_for(written):
    writer = written((1, 1.0, b""))
    store, statements = writer.store, []
    engine = store._database._ready()
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    store.runs()
    store.run(writer.id)
    store.find(writer.id)
    store.follow(writer.id, after=0)
    assert [s for s in statements if re.search(r"runs\.modules\b", s)] == []
    store.facts(writer.id)
    assert re.search(r"runs\.modules\b", statements[-1])


def test_steps_by_range(written):
    writer = written(*((n, float(n), bytes([n])) for n in range(20)))
    store = writer.store
    assert [s.number for s in store.steps(writer.id, 5, 8)] == [5, 6, 7]
    assert [s.number for s in store.steps(writer.id, 18)] == [18, 19]
    assert [s.number for s in store.steps(writer.id, stop=2)] == [0, 1]
    assert store.steps(writer.id, 5, 6, payload=False)[0].payload is None
    assert store.steps(writer.id, 50, points=10) == []


def test_fewer_points_keep_extremes_and_what_is_not_finite(to):
    writer = open_run(to)
    odd = {333: math.nan, 401: 50.0, 402: -50.0, 700: math.inf}
    for number in range(1000):
        writer.step(number, odd.get(number, 1.0), bytes([number % 256]), nonfinite=number == 555)
    writer.finish()
    steps = writer.store.steps(writer.id, points=50)
    assert len(steps) <= 50
    assert {0, 333, 401, 402, 555, 700, 999} <= {s.number for s in steps}
    assert all(s.payload == bytes([s.number % 256]) for s in steps)
    assert [s.number for s in steps] == sorted(s.number for s in steps)
    with pytest.raises(ValueError, match="at least 10 points, got 3"):
        writer.store.steps(writer.id, points=3)
    writer.store.close()


def test_renamed_tagged_deleted_and_brought_back(store, clock):
    begin(store, "run", 1.0, StepEntry(1, 0.0, 1.0, b""))
    store.rename("run", "better")
    store.tag("run", ["a", "b", "a"])
    assert (store.run("run").name, store.run("run").tags) == ("better", ["a", "b"])
    store.delete("run")
    assert store.runs()[0] == []
    assert store.expired(60) == []
    assert not store.purge("run", 60)
    store.restore("run")
    assert [r.id for r in store.runs()[0]] == ["run"]
    store.delete("run")
    clock.now += 61
    assert store.expired(60) == ["run"]
    assert store.purge("run", 60)
    with pytest.raises(KeyError):
        store.run("run")
    with pytest.raises(KeyError, match="no run 'run'"):
        store.rename("run", "x")


def test_an_outline_reads_as_much_of_a_long_run_as_of_a_short_one(tmp_path, monkeypatch):
    with open_run(f"{tmp_path}/runs.db") as writer:
        for number in range(1, 501):
            writer.step(number, 1 / number if number != 333 else math.inf, b"")
    found = writer.store.outline(writer.id, 20)
    assert [found[0].number, found[-1].number, len(found) <= 20] == [1, 500, True]
    assert math.inf in [step.loss for step in found]
    monkeypatch.setattr("layerscope.engine.store.reading.SHORT", 100)
    numbers = [step.number for step in writer.store.outline(writer.id, 20)]
    assert 18 <= len(numbers) <= 20  # two of the entries are its start and its end
    assert set(np.diff(numbers)) <= {26, 27}
    assert writer.store.outline("none", 20) == []


def test_a_position_moves_with_every_entry_and_with_the_end(tmp_path):
    writer = open_run(f"{tmp_path}/runs.db")
    writer.step(1, 1.0, b"")
    writer.finish()
    run = writer.store.run(writer.id)
    assert (
        writer.store.position(writer.id)
        == (run.sequence, run.state, run.name)
        == (3, "finished", run.name)
    )
    with pytest.raises(NoSuchRun):
        writer.store.position("none")


@pytest.mark.parametrize(
    ("number", "nearest"), [(0, 10), (10, 10), (15, 10), (16, 20), (20, 20), (99, 40)]
)
def test_the_nearest_step_is_the_earlier_of_two_as_near(store, number, nearest):
    begin(store, "r", 0.0, *(StepEntry(n, 0.0, 1.0, b"%d" % n) for n in (10, 20, 40)))
    found = store.nearest("r", number)
    assert (found.number, found.payload) == (nearest, b"%d" % nearest)


def test_the_nearest_of_steps_of_one_number_is_the_last_and_of_none_there_is_none(store):
    begin(store, "r", 0.0, StepEntry(1, 0.0, 1.0, b"first"), StepEntry(1, 0.0, 1.0, b"again"))
    assert store.nearest("r", 1).payload == b"again"
    begin(store, "empty")
    assert store.nearest("empty", 1) is None
    with pytest.raises(NoSuchRun):
        store.nearest("none", 1)


def test_the_nearest_step_is_one_that_has_a_payload_unless_none_has(store):
    told = {0: b"0", 10: b"", 19: b"", 20: b"20", 21: b""}
    begin(store, "r", 0.0, *(StepEntry(n, 0.0, 1.0, payload) for n, payload in told.items()))
    assert [store.nearest("r", n).number for n in (0, 9, 10, 11, 19, 99)] == [0, 0, 0, 20, 20, 20]
    begin(store, "bare", 0.0, *(StepEntry(n, 0.0, 1.0, b"") for n in (10, 20)))
    assert store.nearest("bare", 19).number == 20


def test_purging_a_run_asks_about_that_run_alone(store, clock, monkeypatch):
    for run in ("a", "b", "c"):
        begin(store, run)
        store.delete(run)
    clock.now += 100
    asked = []
    state = reading._state
    monkeypatch.setattr(reading, "_state", lambda row, now: asked.append(row.id) or state(row, now))
    assert store.purge("b", 60)
    assert asked == ["b"]
    assert not store.purge("b", 60)


def test_a_run_that_is_still_written_does_not_expire_and_one_brought_back_is_not_purged(
    store, clock
):
    begin(store, "busy")
    begin(store, "back")
    for run in ("busy", "back"):
        store.delete(run)
    clock.now += 100
    store.append("busy", Batch(1, []))  # a sign of life
    assert store.expired(60) == ["back"]
    store.restore("back")
    assert not store.purge("back", 60)
    assert store.run("back").deleted is None


def test_asking_for_what_expired_makes_no_file(tmp_path):
    made = Store(make_url(f"sqlite:///{tmp_path}/none.db"))
    assert made.expired(0) == []
    assert not (tmp_path / "none.db").exists()
