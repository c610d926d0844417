"""A probe around a training: it begins, it is bounded, it ends, and leaves nothing behind."""

from __future__ import annotations

import copy
import gc
import io
import math
import os
import pickle
import threading
import weakref

import pytest
import torch

from layerscope.engine.probe.step import Quantity
from layerscope.engine.probe.telling import TrainingStopped
from layerscope.engine.probe.watch import watch
from tests.trainings import mlp
from tests.watching import frozen_first, hooks, watched

pytestmark = pytest.mark.usefixtures("no_hook_is_left")


def test_every_hook_is_gone_at_the_end():
    before = hooks()
    training = mlp()
    model = training.model
    with watched(training, every=1) as probe:
        assert hooks() != before
        training.run(probe)
        kept = training.forward(0)  # a graph that outlives the probe
    assert hooks() == before
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())
    kept.backward()
    names = {t.name for t in threading.enumerate()}
    assert "layerscope probe" not in names


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_ends_a_training_passes_through(error):
    before = hooks()
    training = mlp()
    with pytest.raises(error), watched(training, every=1) as probe:
        training.run(probe, steps=2)
        raise error
    assert hooks() == before
    assert probe.state == ("failed" if error is ValueError else "stopped")
    assert len(probe.steps()) == 2


def test_an_error_within_a_step_passes_through_and_the_next_is_recorded():
    training = mlp()
    with watched(training, every=1) as probe:
        with pytest.raises(RuntimeError):
            training.model(torch.zeros(3, 5))
        training.run(probe, steps=2)
    assert len(probe.steps()) == 2


def test_warnings_as_errors_end_no_training(capsys):
    """This suite's warnings are errors."""
    training = mlp()
    with watch(training.model, torch.optim.SGD(training.model.parameters(), 0.1),
               to=":memory:") as probe:  # fmt: skip
        training.forward(0).backward()
        probe.step(1.0)
    assert "no optimiser step was seen" in capsys.readouterr().err


def test_a_watched_model_pickles_and_copies():
    training = mlp()
    with watched(training, every=1) as probe:
        training.run(probe, steps=2)
        twin = copy.deepcopy(training.model)
        pickle.loads(pickle.dumps(training.model))  # noqa: S301
        copy.deepcopy(training.optimizers[0])
        torch.save(training.model, io.BytesIO())
        twin(torch.zeros(2, 8)).sum().backward()
        training.run(probe, steps=1)
    last = probe.steps()[-1]
    assert last.of(0, Quantity.ACTIVATION).count == 16 * 8, "the copy is not the model"


def test_nothing_of_a_closed_probe_is_held():
    training = mlp()
    with watched(training) as probe:
        training.run(probe, steps=2)
    gone = weakref.ref(training.model)
    del probe, training
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forked_data_loaders_work():
    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return 32

        def __getitem__(self, index):
            return training.model(torch.ones(8)).detach() * 0 + torch.ones(8)

    training = mlp()
    loader = torch.utils.data.DataLoader(
        Data(), batch_size=16, num_workers=1, multiprocessing_context="fork"
    )
    with watched(training, every=1) as probe:
        for x in loader:
            loss = training.model(x[:, :1].expand(-1, 8)).square().mean()
            loss.backward()
            training.optimizers[0].step()
            probe.step(loss)
    assert len(probe.steps()) == 2
    assert probe.error is None


def test_memory_is_bounded():
    training = mlp()
    with watched(training, every=1) as probe:
        probe.ring.most_steps = 5
        training.run(probe, steps=12)
    assert [s.number for s in probe.steps()] == [8, 9, 10, 11, 12]


def test_every_and_budget_decide_what_is_recorded():
    training = mlp()
    with watched(training, every=4) as probe:
        training.run(probe, steps=10)
    assert [s.number for s in probe.steps()] == [1, 5, 9]
    with watched(training) as probe:
        training.run(probe, steps=60)
    cost = probe.cost()
    assert 2 <= cost["recorded"] < 40
    assert cost["steps"] == 60
    assert cost["measured"] == "steps of both kinds"


def test_a_closed_probe_ignores_more_steps():
    training = mlp()
    with watched(training) as probe:
        training.run(probe, steps=1)
    probe.step(1.0)
    probe.close()
    assert len(probe.steps()) == 1


def test_a_closed_probe_holds_nothing_of_the_training():
    training = mlp()
    with watched(training, every=1) as probe:
        training.run(probe, steps=2)
        output = training.model(torch.zeros(3, 8))
        gone = weakref.ref(output)
        del output
    assert gone() is None
    assert all(t.snapshot is None for t in probe.watched.tracked.values())


def test_another_probes_end_is_not_swallowed():
    training, other = mlp(), mlp()
    nan = torch.full((4, 8), math.nan)
    with (
        watched(other, every=1) as outer,
        watched(training, every=1, stop_on="error") as inner,
    ):
        other.run(outer, steps=1)
        loss = training.model(nan).sum()
        loss.backward()
        training.optimizers[0].step()
        with pytest.raises(TrainingStopped) as raised:
            inner.step(loss)
    assert (outer.state, inner.state) == ("finished", "finished")
    with pytest.raises(TrainingStopped), watched(other) as third:
        raise raised.value
    assert third.state == "failed"


def test_a_removed_working_directory_is_no_obstacle(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    training = mlp()
    with watched(training, every=1) as probe:
        training.run(probe, steps=1)
    assert probe.error is None


def test_facts_that_change_reach_whoever_keeps_the_run():
    training = frozen_first()
    told = []
    with watched(training, every=1) as probe:
        probe._sink.modules = lambda facts: told.append([copy.deepcopy(f) for f in facts])
        training.run(probe, steps=2)
        training.model[0].requires_grad_(True)
        training.optimizers[0].add_param_group({"params": list(training.model[0].parameters())})
        training.run(probe, steps=2)
    said = [[(p.trains, p.group) for p in facts[0].parameters.values()] for facts in told]
    assert said == [[(False, None)] * 2, [(True, 1)] * 2]
    assert probe.ring.facts == told[-1]


def test_findings_are_asked_for_once_after_the_first_nan(monkeypatch):
    training, told = mlp(), []
    with watched(training, every=1, on_finding=told.append) as probe:
        training.run(probe, steps=5)  # what follows looks closer every eighth step
        asked = []
        real = probe.findings
        monkeypatch.setattr(probe, "findings", lambda: asked.append(probe.number) or real())
        with torch.no_grad():
            next(training.model.parameters()).fill_(math.nan)
        training.run(probe, steps=3)
    assert asked == [6]
    assert [f.rule for f in told if f.rule == "nonfinite"] == ["nonfinite"]
