"""Figures and findings where people look already."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn

import layerscope
from layerscope.engine.probe.callbacks.forwarding import ToTensorBoard, ToWandb
from layerscope.engine.probe.telling import ProbeWarning


class Writer:
    """What a ``SummaryWriter`` is asked."""

    def __init__(self):
        self.scalars, self.texts = {}, []

    def add_scalar(self, name, value, number):
        self.scalars[name, number] = value

    def add_text(self, name, text, number):
        self.texts.append((name, text, number))


class Run:
    """What a run of wandb is asked."""

    def __init__(self):
        self.axes, self.logged, self.summary = [], [], {}

    def define_metric(self, *given, **named):
        self.axes.append((*given, *named.values()))

    def log(self, values, commit=True):
        self.logged.append((values, commit))


def train(also, steps=4, nan_at=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with layerscope.watch(model, optimizer, every=2, to=":memory:", also=also) as probe:
        for number in range(steps):
            x = torch.randn(8, 4)
            loss = model(x / 0 if number + 1 == nan_at else x).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.step(loss)
    assert probe.error is None
    return probe


def test_scalars_are_the_recorded_figures():
    writer = Writer()
    probe = train([ToTensorBoard(writer)])
    assert [step.number for step in probe.steps()] == [1, 3]
    for step in probe.steps():
        assert writer.scalars["layerscope/loss", step.number] == step.loss
        for index, name in enumerate("012"):
            assert writer.scalars[f"layerscope/std/{name}", step.number] == step.of(index, 0).std
        ratio = writer.scalars["layerscope/update_ratio/2", step.number]
        assert ratio == step.update_ratio(2)


def test_findings_are_text():
    writer = Writer()
    train([ToTensorBoard(writer)], steps=5, nan_at=3)
    name, text, _ = writer.texts[-1]
    assert name == "layerscope/findings"
    assert text.startswith("**error**: The first non-finite value comes up in 0 (since step 3).")


def test_wandb_gets_an_axis_of_its_own_and_the_users_steps_are_left_alone():
    run = Run()
    probe = train([ToWandb(run, ("std",))])
    assert run.axes == [("layerscope/step",), ("layerscope/*", "layerscope/step")]
    *steps, (last, committed) = run.logged
    assert [(v["layerscope/step"], commit) for v, commit in steps] == [(1, False), (3, False)]
    assert steps[0][0]["layerscope/std/0"] == probe.steps()[0].of(0, 0).std
    assert (last, committed) == ({"layerscope/state": "finished"}, True)
    assert isinstance(run.summary["layerscope/findings"], list)


def test_who_cannot_take_it_is_left_out_and_the_rest_goes_on():
    class Full(Writer):
        def add_scalar(self, *_):
            raise OSError("no space left")

    writer = Writer()
    with pytest.warns(ProbeWarning, match=r"ToTensorBoard is left out.*OSError: no space left"):
        probe = train([ToTensorBoard(Full()), ToTensorBoard(writer)])
    assert len(probe.steps()) == 2
    assert ("layerscope/loss", 3) in writer.scalars


def test_an_unknown_quantity_is_refused():
    with pytest.raises(ValueError, match=r"expected some of std, .*; got 'colour'"):
        ToTensorBoard(Writer(), ("colour",))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_real_summary_writer(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        probe = train([ToTensorBoard(writer)])
    read = EventAccumulator(str(tmp_path)).Reload()
    points = read.Scalars("layerscope/loss")
    assert [(p.step, p.value) for p in points] == [
        (step.number, pytest.approx(step.loss)) for step in probe.steps()
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_real_run_of_wandb_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    for name, value in (("MODE", "offline"), ("SILENT", "true"), ("DIR", str(tmp_path))):
        monkeypatch.setitem(os.environ, f"WANDB_{name}", value)
    run = wandb.init(dir=str(tmp_path), project="tests")
    try:
        probe = train([ToWandb(run)])
        run.log({"mine": 1.0})
        assert run.summary["layerscope/loss"] == pytest.approx(probe.steps()[-1].loss)
    finally:
        run.finish()
