"""A probe that fails: it says so once, is off, and the training goes on."""

from __future__ import annotations

import pytest

from layerscope.engine.probe.telling import ProbeWarning
from tests.trainings import mlp
from tests.watching import bits, hooks, same, watched

pytestmark = pytest.mark.usefixtures("no_hook_is_left")


def test_a_failing_probe_warns_once_and_the_training_goes_on(monkeypatch):
    alone, training = mlp(), mlp()
    training.model.load_state_dict(alone.model.state_dict())
    alone.run()
    before = hooks()
    with watched(training, every=1) as probe:

        def broken(*_):
            raise ZeroDivisionError("broken on purpose")

        monkeypatch.setattr(probe._recorder.modules, "_called", broken)
        with pytest.warns(ProbeWarning, match=r"is off now.*ZeroDivisionError: broken") as told:
            training.run(probe)
        assert len(told) == 1
        assert hooks() == before
    assert same(bits(alone.model), bits(training.model))
    assert isinstance(probe.error, ZeroDivisionError)


def test_a_failing_writing_thread_switches_off_too(monkeypatch, recwarn):
    training = mlp()
    with watched(training, every=1) as probe:

        def broken(*_, **__):
            raise ZeroDivisionError("broken on purpose")

        monkeypatch.setattr(probe._sink, "step", broken)
        training.run(probe)
        probe._writer.wait()
        training.run(probe)
    assert isinstance(probe.error, ZeroDivisionError)


def test_a_probe_that_cannot_begin_is_off_and_leaves_nothing():
    class Broken:
        def get_scale(self):
            raise ZeroDivisionError("broken on purpose")

    training = mlp()
    before = hooks()
    with pytest.warns(ProbeWarning, match="is off now.*ZeroDivisionError"):
        probe = watched(training, scaler=Broken())
    assert hooks() == before
    training.run(probe, steps=2)
    probe.close()
    assert probe.steps() == []


def test_the_end_of_a_run_is_told_whatever_fails_before_it():
    training, told = mlp(), {}
    with watched(training, every=1) as probe:

        def broken(_):
            raise ZeroDivisionError("broken on purpose")

        training.run(probe, steps=1)
        probe._writer.wait()
        probe._sink.findings = broken
        probe._sink.summary = told.update
        probe._sink.finish = lambda state: told.update(state=state)
        with pytest.warns(ProbeWarning, match="ZeroDivisionError"):
            probe.close()
    assert told["state"] == "finished"
    assert told["error"] == "ZeroDivisionError: broken on purpose"
    assert told["cost"]["recorded"] == 1


def test_a_model_whose_probe_has_failed_can_be_watched_again(monkeypatch):
    training = mlp()
    with watched(training, every=1) as first:

        def broken(*_):
            raise ZeroDivisionError("broken on purpose")

        monkeypatch.setattr(first._recorder.modules, "_called", broken)
        with pytest.warns(ProbeWarning, match="is off now"):
            training.run(first)
        with watched(training, every=1) as second:
            training.run(second, steps=3)
        assert [step.number for step in second.steps()] == [1, 2, 3]


@pytest.mark.parametrize("when", ["before the step ends", "as the next one begins"])
def test_a_probe_that_has_failed_begins_no_step(monkeypatch, when):
    """The writing thread may fail at any time, in the middle of the training's own step."""
    training = mlp()
    with watched(training, every=1) as probe:
        training.run(probe, steps=2)
        ended, began = probe.pace.ended, probe._recorder.optimizers.begin
        begun = []

        def fails(*given):
            probe._failed(ZeroDivisionError("broken on purpose"))
            ended(*given)

        def late(*given, **named):
            begun.append(given)
            if when == "as the next one begins":
                probe._failed(ZeroDivisionError("broken on purpose"))
            began(*given, **named)

        if when == "before the step ends":
            monkeypatch.setattr(probe.pace, "ended", fails)
        monkeypatch.setattr(probe._recorder.optimizers, "begin", late)
        with pytest.warns(ProbeWarning, match="is off now"):
            training.run(probe, steps=2)
        assert len(begun) == (when == "as the next one begins")
        assert not probe._recorder.modules.mode
        optimizers = probe._recorder.optimizers
        assert not optimizers.mode
        assert not optimizers.aside.holds  # no parameter, for a step that never comes
