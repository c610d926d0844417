"""A training as a run: what is in the store, what wishes do, and what an interruption costs."""

from __future__ import annotations

import contextlib
import math
import threading

import pytest
import torch

from layerscope.engine.basis.cancellation import Stopped, never
from layerscope.engine.experiment import Experiment
from layerscope.engine.probe.ring import Ring
from layerscope.engine.probe.step import Quantity, Step
from layerscope.engine.probe.verdicts import Verdicts
from layerscope.engine.store import open_store
from layerscope.engine.store.entries import Batch, Start
from layerscope.engine.training import Trainer, Training
from layerscope.engine.training.folder import TrainingFolder
from layerscope.engine.training.presets import TRAINING_PRESETS
from layerscope.engine.training.recording import facts_of, step_of
from layerscope.engine.training.run import recomputed, train

TINY = Experiment(depth=2, width=8, batch=16, activation="tanh")


class Place:
    """A store and a folder of trainings."""

    def __init__(self, path):
        self.parent = path / "trainings"
        self.url = str(path / "runs.db")
        self.store = open_store(self.url)

    def begin(self, run, training, experiment=TINY):
        folder = TrainingFolder(self.parent, run)
        folder.create(experiment, training)
        self.store.append(run, Batch(1, [Start(run, {}, 1.0)]))
        return folder

    def train(self, run, should_stop=never):
        return train(self.parent, run, self.url, should_stop)

    def steps(self, run):
        return self.store.steps(run)

    def losses(self, run):
        return [step.loss for step in self.steps(run)]


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.store.close()


def test_a_training_is_a_run_of_the_store(place):
    place.begin("a", Training(steps=12, learning_rate=0.05))
    assert list(place.train("a")) == list(range(1, 13))
    run = place.store.run("a")
    assert (run.state, run.steps, run.last_step) == ("finished", 12, 12)
    assert [f.name for f in place.store.facts("a")][:2] == ["linear1", "tanh1"]
    step = Step.from_bytes(place.steps("a")[4].payload)
    assert step.number == 5
    assert step.of(0, Quantity.UPDATE).rms > 0
    assert run.summary["checkpoints"] == list(range(13))


def test_only_what_is_asked_for_is_recorded(place):
    place.begin("a", Training(steps=10, every=4, record="signals"))
    list(place.train("a"))
    assert [s.number for s in place.steps("a")] == [1, 5, 9]


@pytest.mark.parametrize("every", [1, 3])
def test_what_is_interrupted_goes_on_to_the_same_bits(place, every):
    training = Training(steps=20, every=every, optimizer="adam", learning_rate=0.01, fresh=True)
    place.begin("whole", training)
    list(place.train("whole"))
    folder = place.begin("parted", training)
    for number in (going := place.train("parted")):
        if number == 8:
            going.close()
    assert place.store.run("parted").state == "stopped"
    for path in folder.path.glob("*.pt"):  # as of a process that was killed while it wrote
        if int(path.stem) >= 7:
            path.write_bytes(b"half")
    list(place.train("parted"))
    assert place.store.run("parted").state == "finished"
    assert place.losses("parted") == place.losses("whole")
    numbers = [s.number for s in place.steps("parted")]
    assert numbers == sorted(set(numbers))
    ours, theirs = (
        recomputed(TrainingFolder(place.parent, run), 20, never).state()["parameters"]
        for run in ("parted", "whole")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_wishes_pause_step_change_the_rate_and_stop(place):
    folder = place.begin("a", Training(steps=1000, learning_rate=0.01))
    folder.wish_for(paused=True, granted=3)
    numbers = []
    reached = {n: threading.Event() for n in (3, 5, 9)}

    def work():
        for number in place.train("a"):
            numbers.append(number)
            if number in reached:
                reached[number].set()

    thread = threading.Thread(target=work)
    thread.start()
    assert reached[3].wait(60)
    folder.wish_for(granted=5, rate=0.5)
    assert reached[5].wait(60)
    folder.wish_for(paused=True, granted=4, rate=0.25)
    assert reached[9].wait(60)
    folder.wish_for(stopped=True)
    thread.join(60)
    assert numbers == list(range(1, 10))
    rates = [Step.from_bytes(s.payload).learning_rates[0] for s in place.steps("a")]
    assert rates == [0.01] * 3 + [0.5] * 2 + [0.25] * 4
    assert place.store.run("a").state == "stopped"
    again = recomputed(folder, 9, never)
    assert again.rate == 0.25
    folder.wish_for(stopped=False, paused=False)
    going = place.train("a")
    assert next(going) == 10
    going.close()
    assert Step.from_bytes(place.steps("a")[-1].payload).learning_rates == [0.25]


def test_a_branch_begins_as_the_other_was(place):
    training = Training(steps=16, optimizer="momentum", learning_rate=0.02)
    first = place.begin("a", training)
    list(place.train("a"))
    other = TrainingFolder(place.parent, "b")
    first.branch(other, 6)
    assert max(other.checkpoints()) <= 6
    assert other.specification() == first.specification()
    there = recomputed(other, 6, never)
    assert [there.advance().loss for _ in range(4)] == place.losses("a")[6:10]
    other.remove()
    assert not other.exists


def test_a_training_that_ends_in_nan_says_where_it_began(place):
    experiment = Experiment(depth=4, width=16, batch=16)
    place.begin("a", Training(steps=100, learning_rate=1e6), experiment)
    numbers = list(place.train("a"))
    assert len(numbers) < 100
    (root,) = place.store.findings("a")
    assert (root["rule"], root["severity"]) == ("learning_rate_high", "error")
    finding = next(f for f in root["consequences"] if f["rule"] == "nonfinite")
    assert finding["severity"] == "error"
    assert finding["since"] in (numbers[-1], numbers[-1] - 1)
    assert not math.isfinite(place.losses("a")[-1])


def test_a_healthy_training_is_accused_of_nothing(place):
    experiment = Experiment(depth=3, width=32, batch=64, data="digits", loss="cross_entropy")
    place.begin("a", Training(steps=60, optimizer="adam", learning_rate=0.003), experiment)
    list(place.train("a"))
    assert [f for f in place.store.findings("a") if f["severity"] != "info"] == []


def test_a_finding_keeps_the_step_since_which_it_has_held():
    """Also once that step is long out of the window that rules look at."""
    preset = next(p for p in TRAINING_PRESETS if p.name == "dying_relu")
    trainer, ring = Trainer(preset.experiment, preset.training), Ring()
    verdicts = Verdicts(ring)
    told = set()
    for number in range(1, 120):
        done = trainer.advance(record=True)
        if number == 1:
            ring.modules(facts_of(done.records))
        ring.loss(number, done.loss)
        step = step_of(done, "everything", None)
        ring.add(number, step.to_bytes(), looked=step.looked)
        if number > 40 and number % 6 == 0:
            roots = verdicts.findings(None)
            found = [f for root in roots for f in (root, *root.consequences)]
            told |= {f.since for f in found if f.rule == "dead_units"}
    assert len(told) == 1
    assert max(told) < 20


def test_who_is_asked_to_stop_leaves_a_run_that_can_go_on(place):
    folder = place.begin("a", Training(steps=50))
    calls = iter(range(10**6))
    with contextlib.suppress(Stopped):
        list(place.train("a", lambda: next(calls) > 200))
    run = place.store.run("a")
    assert run.state == "stopped"
    assert folder.restored(50)["step"] == run.last_step


def test_no_name_leads_out_of_the_folder(tmp_path):
    for run in ("../a", "a/b", "", ".", "a" * 65):
        with pytest.raises(ValueError, match="run"):
            TrainingFolder(tmp_path, run)
