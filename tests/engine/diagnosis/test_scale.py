"""A recurrent state that is far beyond what came before it, and who is like it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.faults import train


class LastState(nn.Module):
    def __init__(self, nonlinearity, gain):
        super().__init__()
        self.cell = nn.RNN(4, 16, nonlinearity=nonlinearity, batch_first=True)
        self.head = nn.Linear(16, 1)
        with torch.no_grad():
            self.cell.weight_hh_l0.copy_(gain * torch.eye(16))

    def forward(self, x):
        return self.head(self.cell(x)[0][:, -1])


def exploding(nonlinearity, gain, scale=1.0, steps=30):
    torch.manual_seed(0)
    x = torch.randn(64, 25, 4)
    model = LastState(nonlinearity, gain)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    found = train(model, scale * x, x[:, 0, :1], optimizer=optimizer, steps=steps)
    every = [*found, *(c for f in found for c in f.consequences)]
    return next((f for f in every if f.rule == "exploding_activation"), None)


def test_a_state_that_has_grown_beyond_all_bounds_is_told_by_what_was_seen():
    found = exploding("relu", 2.5)
    assert found.modules == ("cell",)
    assert "output_scale" in {f.rule for f in found.consequences}
    assert found.explanation.startswith("The input before it has one of 1")


@pytest.mark.parametrize(
    ("nonlinearity", "gain", "scale"),
    [("relu", 0.7, 1.0), ("tanh", 9, 1.0), ("tanh", 1, 1e-4), ("tanh", 9, 1e-5), ("relu", 1, 1e-4)],
)
def test_a_state_that_biases_fill_has_not_grown(nonlinearity, gain, scale):
    assert exploding(nonlinearity, gain, scale) is None


class Scaled(nn.Module):
    """Embeddings of 1e-5 that a function between the modules brings to a usual size."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        nn.init.normal_(self.embedding.weight, 0, 1e-5)
        self.cell = nn.RNN(16, 32, nonlinearity="relu", batch_first=True)
        self.head = nn.Linear(32, 1)
        nn.init.orthogonal_(self.cell.weight_hh_l0)

    def forward(self, x):
        return self.head(self.cell(self.embedding(x) * 1e5)[0][:, -1])


def test_what_went_in_may_be_larger_than_what_the_module_before_gave():
    torch.manual_seed(0)
    x = torch.randint(20, (64, 8))
    optimizer = torch.optim.Adam((model := Scaled()).parameters(), 0.003)
    found = train(model, x, (x[:, -1:] > 9).float(), optimizer=optimizer, steps=12)
    every = [*found, *(c for f in found for c in f.consequences)]
    assert "exploding_activation" not in {f.rule for f in every}
