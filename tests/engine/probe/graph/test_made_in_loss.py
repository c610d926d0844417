"""What is not finite, and made between the last layer and the loss: by which operation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from layerscope.engine.probe.graph.made_in_loss import REPAIRS, in_loss
from layerscope.engine.probe.watch import watch

X = torch.randn(16, 4)


def said(loss):
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    value = loss(model(X))
    value.backward()
    made = in_loss(value)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("loss", "name", "fix"),
    [
        (lambda o: o.square().log().mean(), "log", "x.clamp_min(1e-8).log()"),
        (lambda o: (o.pow(2).sum() / 2).sqrt(), "sqrt", "(x + 1e-8).sqrt()"),
        (lambda o: (o / o.sum()).pow(2).mean(), "div", "x / total.clamp_min(1e-8)"),
        (lambda o: o.pow(0.3).mean(), "pow", "x.clamp_min(1e-8).pow(exponent)"),
    ],
)
def test_the_operation_is_named_with_a_line_that_stays_finite(loss, name, fix):
    made = said(loss)
    assert name in made.words
    assert made.fix == fix


def test_of_several_none_is_repaired():
    made = said(lambda o: (o.exp().log() + o.square().sqrt()).mean())
    assert all(name in made.words for name in ("exp", "log", "sqrt"))
    assert made.fix is None


def test_where_no_operation_makes_it_the_targets_are_asked():
    made = said(lambda o: (o - 1).square().mean())
    assert "no operation" in made.words
    assert made.fix == "assert target.isfinite().all()"
    assert in_loss(torch.ones(())) is None
    assert in_loss(1.0) is None


def test_every_line_gives_what_is_finite_of_zeros():
    scope = {"torch": torch, "x": torch.zeros(3), "total": torch.zeros(3), "exponent": 0.5}
    for line in REPAIRS.values():
        assert eval(line, scope).isfinite().all(), line  # noqa: S307  lines of our own


@pytest.mark.parametrize("every", [1, 1000])
def test_a_loss_by_hand_that_nobody_hears_is_explained(every):
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with watch(model, optimizer, every=every, to=":memory:") as probe:
        for _ in range(3):
            optimizer.zero_grad()
            loss = model(X).clamp_min(0).log().mean()
            loss.backward()
            optimizer.step()
            probe.step(loss)
    found = next(f for f in probe.findings() if f.rule == "nonfinite")
    assert "autograd keeps log" in found.explanation
    assert found.fix["code"] == "x.clamp_min(1e-8).log()"


def test_what_a_pass_shows_leads_to_a_closer_look():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    nn.init.constant_(model[0].weight, 0.1)
    nn.init.constant_(model[0].bias, 0.1)
    nn.init.constant_(model[2].weight, 0.1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with watch(model, optimizer, to=":memory:") as probe:
        for _ in range(10):
            optimizer.zero_grad()
            loss = (model(X) - X[:, :2]).square().mean()
            loss.backward()
            optimizer.step()
            probe.step(loss)
    found = next(f for f in probe.findings() if f.rule == "symmetry")
    assert found.severity in ("warning", "error")
    assert found.fix["code"].startswith("report = layerscope.preflight(model, (x, y), ")
