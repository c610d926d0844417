"""Steps that come late are those that came, and records of theirs are those of steps at once."""

import itertools

import pytest
import torch

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.execution import read_ahead as module
from layerscope.engine.execution import recording
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, passes
from layerscope.engine.execution.read_ahead import read_ahead
from layerscope.engine.execution.recording import record_all, recorded
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.statistics import statistics
from layerscope.engine.statistics.ahead import Known

SMALL = {"width": 12, "batch": 9, "inputs": 5}
KINDS = [
    {}, {"depth": 1}, {"depth": 60, "init": "normal"}, {"activation": "linear", "norm": "batch"},
    {"residual": True, "norm": "layer"}, {"residual": True, "block_order": "linear_last"},
    {"dtype": "float64", "activation": "tanh"}, {"dtype": "bfloat16"}, {"init": "zeros"},
    {"dtype": "float16", "init": "normal", "init_scale": 30.0}, {"batch": 1},
    {"loss": "cross_entropy", "data": "digits", "inputs": 64},
]  # fmt: skip
AT_ONCE = [1, 200, 1000, 1 << 30]
"""Every step by itself, some of the steps too large, several batches, everything one batch."""


def at_once(monkeypatch):
    """Every step's statistics asked for as it comes."""
    monkeypatch.setattr(recording, "read_ahead", lambda steps, known: steps)


@pytest.mark.parametrize("change", KINDS)
def test_records_are_those_of_steps_that_are_read_as_they_come(change, monkeypatch):
    e = Experiment(**{"depth": 9, **SMALL, **change})
    found = []
    for entries in AT_ONCE:
        monkeypatch.setattr(module, "AT_ONCE", entries)
        found.append(record_all(Network(e)))
    at_once(monkeypatch)
    records, loss = record_all(Network(e))
    for several, its_loss in found:
        assert [r.to_bytes() for r in several] == [r.to_bytes() for r in records]
        assert repr(its_loss) == repr(loss)


@pytest.mark.parametrize("entries", AT_ONCE)
def test_steps_come_in_order_with_the_tensors_that_they_had(entries, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", entries)
    e = Experiment(depth=6, residual=True, norm="layer", **SMALL)

    def told(step):
        if isinstance(step, ForwardStep):
            parameters = [p.clone() for p in step.layer.parameters.values()]
            return step.info.index, "forward", [step.x.clone(), step.output.clone(), *parameters]
        if isinstance(step, BackwardStep):
            gradients = [g.clone() for g in step.layer.gradients.values()]
            saved = step.layer.saved if step.layer.keeps else ()
            kept = [t.clone() for t in (*saved, *gradients, step.gradient)]
            return step.info.index, "backward", [step.by_input.clone(), *kept]
        return -1, "loss", [step.loss]

    expected = [told(step) for step in passes(Network(e))]
    late = [told(step) for step in read_ahead(passes(Network(e)), Known())]
    assert [entry[:2] for entry in late] == [entry[:2] for entry in expected]
    for (*_, tensors), (*_, same) in zip(late, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(tensors, same, strict=True))


def test_what_a_step_is_about_is_known_when_it_comes(monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 1000)
    known = Known()
    asked = []
    monkeypatch.setattr("layerscope.engine.statistics.ahead.statistics", asked.append)
    for step in read_ahead(passes(Network(Experiment(depth=6, **SMALL))), known):
        tensors = []
        if isinstance(step, ForwardStep):
            tensors = [step.output, *step.layer.parameters.values()]
        elif isinstance(step, BackwardStep):
            tensors = [step.gradient, *step.layer.gradients.values()]
        assert all(known.statistics(t) == statistics(t) for t in tensors)
    assert asked == []


def test_no_step_is_asked_for_long_before_it_comes(monkeypatch):
    """A few layers, not the whole pass: a stream shows them as they are computed."""
    monkeypatch.setattr(module, "AT_ONCE", 400)
    made = []
    e = Experiment(depth=40, **SMALL)
    steps = (made.append(step.__class__) or step for step in passes(Network(e)))
    late = [len(made) - n for n, _ in enumerate(read_ahead(steps, Known()))]
    assert max(late) < 14


@pytest.mark.parametrize("after", [0, 3, 25])
def test_who_stops_between_two_layers_is_done_at_once(after, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 400)
    asked = itertools.count()
    with pytest.raises(Stopped):
        for _ in recorded(Network(Experiment(depth=40, **SMALL)), lambda: next(asked) == after):
            pass
    assert next(asked) == after + 1


def test_each_step_is_shown_as_it_is_made():
    shown = []
    e = Experiment(depth=3, **SMALL)
    events = list(recorded(Network(e), seen=lambda step: shown.append(step.__class__)))
    assert shown == [step.__class__ for step in passes(Network(e))]
    assert len(events) == len(shown)
