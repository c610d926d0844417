"""A run, written and read again: every entry, exactly, in every kind of database."""

from __future__ import annotations

import math
import threading
import time
import warnings

import pytest

from layerscope.engine.store import Batch, Gap, Store, StoreWarning, open_run, open_store
from layerscope.engine.store.entries import StepEntry
from tests.runs import facts


def test_what_was_written_is_read(to):
    with open_run(to, "digits", {"lr": 0.1, "where": None}) as writer:
        writer.modules(facts(3))
        writer.step(1, 2.5, b"\0one")
        writer.step(2, None, b"")
        writer.step(3, math.nan, b"three")
        writer.step(4, -math.inf, b"four")
        writer.step(5, 1.5, b"five", nonfinite=True)
        writer.finding({"rule": "dead_units", "severity": "warning", "title": "One", "since": 3})
        writer.finding({"rule": "nonfinite", "severity": "error", "title": "Two", "at": math.inf})
        writer.summary({"cost": 0.03})
    store = writer.store
    run = store.run(writer.id)
    assert (run.name, run.state, run.steps, run.last_step) == ("digits", "finished", 5, 5)
    assert run.config == {"lr": 0.1, "where": None}
    assert run.summary == {"cost": 0.03}
    assert run.verdict == {"severity": "error", "title": "Two"}
    assert store.facts(writer.id) == facts(3)
    steps = store.steps(writer.id)
    assert [s.number for s in steps] == [1, 2, 3, 4, 5]
    assert [s.payload for s in steps] == [b"\0one", b"", b"three", b"four", b"five"]
    assert [s.loss for s in steps[:2]] == [2.5, None]
    assert math.isnan(steps[2].loss)
    assert [s.loss for s in steps[3:]] == [-math.inf, 1.5]
    assert [s.nonfinite for s in steps] == [False, False, True, True, True]
    assert abs(steps[0].time - time.time()) < 600
    assert [f["rule"] for f in store.findings(writer.id)] == ["nonfinite", "dead_units"]
    assert store.findings(writer.id)[0]["at"] == math.inf
    store.close()


def test_findings_and_modules_are_replaced_as_a_whole(written, to):
    writer = open_run(to)
    writer.finding({"rule": "a", "severity": "error", "title": "A"})
    writer.findings([{"rule": "b", "severity": "info", "title": "B"}])
    writer.modules(facts(1))
    writer.modules(facts(2))
    writer.finish()
    assert [f["rule"] for f in writer.store.findings(writer.id)] == ["b"]
    assert writer.store.facts(writer.id) == facts(2)
    assert writer.store.run(writer.id).verdict == {"severity": "info", "title": "B"}
    writer.store.close()


@pytest.mark.parametrize(
    ("error", "state"),
    [(None, "finished"), (ValueError, "failed"), (KeyboardInterrupt, "stopped")],
)
def test_a_block_finishes_its_run_by_how_it_ended(error, state):
    def train():
        with open_run(":memory:") as writer:
            runs.append(writer)
            if error:
                raise error

    runs = []
    if error:
        with pytest.raises(error):
            train()
    else:
        train()
    assert runs[0].store.run(runs[0].id).state == state


def test_steps_are_there_while_the_training_goes_on(tmp_path, until):
    writer = open_run(tmp_path / "runs.db")
    other = open_store(tmp_path / "runs.db")
    try:
        writer.step(1, 1.0, b"x")
        until(lambda: other.runs()[0] and other.steps(writer.id))
        assert other.run(writer.id).state == "running"
    finally:
        writer.finish()
    assert other.run(writer.id).state == "finished"
    other.close()


def test_many_steps_are_few_commits(tmp_path, monkeypatch):
    sizes = []
    append = Store.append

    def counted(self, run, batch):
        sizes.append(len(batch.entries))
        return append(self, run, batch)

    monkeypatch.setattr(Store, "append", counted)
    with open_run(tmp_path / "runs.db") as writer:
        for number in range(500):
            writer.step(number, 1.0, b"x" * 100)
    assert sum(sizes) == 502
    assert len(sizes) < 100


def test_after_its_end_nothing_is_taken(tmp_path):
    writer = open_run(tmp_path / "runs.db")
    writer.finish()
    writer.step(1, 1.0, b"")
    writer.finish("failed")
    assert writer.store.run(writer.id).state == "finished"
    assert writer.store.steps(writer.id) == []
    with pytest.raises(ValueError, match="expected finished, stopped or failed, got 'done'"):
        writer.finish("done")


@pytest.mark.slow
def test_a_fork_writes_nothing_and_a_program_that_ends_leaves_a_stopped_run(interpreter, tmp_path):
    program = (
        "import os, sys\n"
        "from layerscope.engine.store import open_run\n"
        "writer = open_run(sys.argv[1])\n"
        "writer.step(1, 1.0, b'parent')\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    writer.step(2, 1.0, b'child')\n"
        "    writer.finish()\n"
        "    sys.exit()\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "writer.step(3, 1.0, b'parent')\n"
    )
    file = str(tmp_path / "runs.db")
    done = interpreter.run("-W", "error", "-c", program, file)
    assert done.returncode == 0, done.stderr
    store = open_store(file)
    ((run,), following) = store.runs()
    assert following is None
    assert run.state == "stopped"
    assert [s.payload for s in store.steps(run.id)] == [b"parent", b"parent"]
    store.close()


def test_a_batch_is_taken_once_and_in_order(written):
    writer = written((1, 1.0, b"one"))
    store, sequence = writer.store, writer.store.run(writer.id).sequence
    more = [StepEntry(number, 0.0, None, b"") for number in (2, 3, 4)]
    assert store.append(writer.id, Batch(sequence + 1, more[:2])) == sequence + 2
    # Again, and one more: what a client sends that never heard the answer.
    assert store.append(writer.id, Batch(sequence + 1, more)) == sequence + 3
    assert [s.number for s in store.steps(writer.id)] == [1, 2, 3, 4]
    with pytest.raises(Gap) as gap:
        store.append(writer.id, Batch(sequence + 5, more))
    assert gap.value.received == sequence + 3
    with pytest.raises(Gap) as gap:
        store.append("unheard", Batch(2, more))
    assert gap.value.received == 0
    assert store.run(writer.id).state == "running"  # it goes on


def test_writers_side_by_side(to):
    writers = [open_run(to, str(n)) for n in range(4)]

    def train(writer):
        for number in range(100):
            writer.step(number, float(number), writer.id.encode())
        writer.finish()

    threads = [threading.Thread(target=train, args=[writer]) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        assert writer.lost == 0
        steps = writer.store.steps(writer.id)
        assert [s.number for s in steps] == list(range(100))
        assert {s.payload for s in steps} == {writer.id.encode()}
        writer.store.close()


def test_any_configuration_is_kept_as_far_as_it_can_be(written):
    class Odd:
        def to_dict(self):
            raise RuntimeError("no")

    deep = {}
    deep["self"] = deep
    config = {"nul": "a\0b", "half": "\ud800", "odd": Odd(), "deep": deep, "big": 2**70, 1: {2}}
    writer = written(name="\ud800\0" + "n" * 500, config=config)
    run = writer.store.run(writer.id)
    assert len(run.name) == 200
    assert run.name.startswith("?\N{REPLACEMENT CHARACTER}nnn")
    assert run.config["nul"] == "a\N{REPLACEMENT CHARACTER}b"
    assert run.config["odd"] == "<Odd: RuntimeError>"
    assert (run.config["big"], run.config["1"]) == (hex(2**70), [2])


def test_modules_whose_names_are_no_text_are_told_of(tmp_path):
    odd = facts(1)[0]
    odd.name = "\ud800"
    writer = open_run(tmp_path / "runs.db")
    with pytest.warns(StoreWarning, match="modules of this run can't be written"):
        writer.modules([odd])
    writer.step(1, 1.0, b"")
    writer.finish()
    assert len(writer.store.steps(writer.id)) == 1


def test_what_a_full_buffer_refuses_is_counted_and_told_once(tmp_path, monkeypatch):
    monkeypatch.setattr("layerscope.engine.store.writer.MOST_BYTES", 10_000)
    held, append = threading.Event(), Store.append

    def once_held(store, run, batch):
        held.wait()
        return append(store, run, batch)

    monkeypatch.setattr(Store, "append", once_held)
    writer = open_run(tmp_path / "runs.db")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for number in range(20):
            writer.step(number, 1.0, bytes(1000))
        held.set()
        writer.finish()
    (warning,) = told
    assert warning.category is StoreWarning
    assert "further steps are lost" in str(warning.message)
    assert writer.lost == 11  # of twenty, where nine of 1,040 bytes find room
    assert len(writer.store.steps(writer.id)) == 20 - writer.lost
