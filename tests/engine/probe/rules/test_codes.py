"""Codes that tell nothing of what they stand for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.faults import train


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


class Coder(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 32), nn.ReLU())
        self.mean, self.spread = nn.Linear(32, 3), nn.Linear(32, 3)
        self.decoder = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 16))

    def forward(self, x):
        hidden = self.body(x)
        mean, spread = self.mean(hidden), self.spread(hidden)
        code = mean + (spread / 2).exp() * torch.randn_like(mean)
        return self.decoder(code), mean, spread


def coded(penalty, steps=150):
    """What is found where ``penalty`` makes a number of what its divergence is."""

    def loss(given, x):
        answer, mean, spread = given
        each = -0.5 * (1 + spread - mean**2 - spread.exp())
        return F.mse_loss(answer, x) + penalty(each)

    model, x = Coder(), torch.randn(256, 3) @ torch.randn(3, 16)
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    findings = train(model, x, x, loss, optimizer=optimizer, steps=steps)
    return next((f for f in findings if f.rule == "posterior_collapse"), None)


def test_a_sum_over_the_batch_beside_a_mean_leaves_nothing_of_the_code():
    told = coded(lambda each: each.sum())
    assert told.severity == "warning"
    assert told.modules == ("mean", "spread")
    assert told.evidence["nats"] < 0.01
    assert "beta" in told.fix["code"]


def test_in_proportion_the_code_is_used():
    assert coded(lambda each: 1e-3 * each.sum(1).mean()) is None


def test_at_first_it_is_too_early_to_tell():
    assert coded(lambda each: each.sum(), steps=60) is None
