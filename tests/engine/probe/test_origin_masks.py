"""The minus infinities of a mask, and what comes of them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from layerscope.engine.probe.watch import watch
from tests.faults import data, train


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def named(findings, rule):
    return next((f for f in findings if f.rule == rule), None)


def test_a_mask_behind_which_the_loss_takes_the_softmax_is_none_to_blame():
    x, y = data("classes")
    for masked in (True, False):
        model = nn.Sequential(nn.Linear(10, 6), Mask(3 if masked else 1))
        findings = train(model, x, y, loss=nn.CrossEntropyLoss(), steps=12)
        assert (named(findings, "nonfinite") is None) == masked  # else labels are masked, too


class Masked(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.scores, self.mask, self.head = nn.Linear(10, 6), Mask(rows), nn.Linear(6, 1)

    def forward(self, x):
        return self.head(self.mask(self.scores(x)).softmax(-1))


class Mask(nn.Module):
    def __init__(self, upto):
        super().__init__()
        self.register_buffer("hidden", torch.arange(6) >= upto)

    def forward(self, x):
        return x.masked_fill(self.hidden, float("-inf"))


def test_minus_infinities_of_a_mask_are_told_only_if_something_comes_of_them():
    assert named(train(Masked(3), *data()), "nonfinite") is None
    found = named(train(Masked(0), *data()), "nonfinite")  # a softmax of nothing
    assert found.modules == ("mask",)


def test_minus_infinities_are_not_told_late_either():
    model = Masked(3)
    x, y = data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, every=1, to=":memory:") as probe:
        for _ in range(10):
            optimizer.zero_grad()
            probe._recorder.modules.checks = False  # as where following calls is too dear
            value = F.mse_loss(model(x), y)
            value.backward()
            optimizer.step()
            probe.step(value)
    assert named(probe.findings(), "nonfinite") is None
