"""Findings are told while the training goes on."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe import live
from layerscope.engine.probe.live import Live
from layerscope.engine.probe.watch import watch


def finding(rule, **fields):
    return Finding(
        rule=rule, severity="error", title=rule, explanation="", direction="both",
        modules=(), layers=(0, 0), blocks=(0, 0), evidence={}, threshold={}, **fields,
    )  # fmt: skip


def test_what_has_not_changed_is_not_told_again(monkeypatch):
    monkeypatch.setattr(live, "PAUSE", 0.0)
    found, told = [], []
    judging = Live(lambda: list(found), lambda f: told.append([each.rule for each in f]))
    judging.happened(urgent=True)
    found.append(finding("frozen"))
    judging.happened(urgent=True)
    judging.happened(urgent=True)
    found[0] = finding("frozen", since=3)
    judging.happened(urgent=True)
    found.clear()
    judging.happened(urgent=True)
    assert told == [["frozen"], ["frozen"], []]


def test_what_happens_soon_after_is_judged_when_it_is_due(monkeypatch):
    monkeypatch.setattr(live, "PAUSE", 3600.0)
    asked = []
    judging = Live(lambda: asked.append(1) or [], lambda _: None)
    assert judging.due() is None
    judging.happened()
    assert (len(asked), judging.due()) == (1, None)
    judging.happened()
    assert len(asked) == 1
    assert 3000 < judging.due() <= 3600
    judging.judge()
    assert (len(asked), judging.due()) == (2, None)


def test_a_nan_is_told_while_the_training_goes_on():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    came, told = threading.Event(), []
    with watch(model, optimizer, every=1, to=":memory:") as probe:

        def keep(found):
            told.append(found)
            if found[0]["rule"] == "nonfinite":
                came.set()

        probe._sink.findings = keep
        for number in range(3):
            x = torch.randn(8, 4)
            loss = model(x / 0 if number == 2 else x).mean()
            loss.backward()
            optimizer.step()
            probe.step(loss)
        assert came.wait(60)
        assert probe.state == "running"
        first = told[-1][0]
        assert (first["since"], first["modules"]) == (3, ["0"])


def test_the_second_time_is_taken_to_cost_what_is_expected(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    judging = Live(list, lambda _: None, expected=0.05)
    judging.happened()
    judging.happened()
    assert judging.due() == pytest.approx(0.05 / live.SHARE)
    now[0] += 3.0
    judging.happened()
    judging.happened()
    assert judging.due() == pytest.approx(live.PAUSE)
