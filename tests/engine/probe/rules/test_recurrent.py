"""Recurrent layers whose state is at its ends, and others."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.faults import accused, train


class Last(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell, self.head = cell, nn.Linear(16, 1)

    def forward(self, x):
        return self.head(self.cell(x)[0][:, -1])


def found_in(cell, scale, steps=60):
    torch.manual_seed(0)
    model = Last(cell(4, 16, batch_first=True))
    with torch.no_grad():
        for parameter in model.cell.parameters():
            parameter.mul_(scale)
    x = torch.randn(64, 10, 4)
    optimizer = torch.optim.Adam(model.parameters(), 0.002)
    return train(model, x, x[:, :, :1].sum(1) / 10**0.5, optimizer=optimizer, steps=steps)


@pytest.mark.parametrize("cell", [nn.GRU, nn.RNN])
def test_a_state_at_its_ends_is_told(cell):
    found = next(f for f in found_in(cell, 40) if f.rule == "recurrent_saturation")
    assert found.modules == ("cell",)
    assert 0.8 < found.evidence["rms"] <= 1
    assert found.since == 1


@pytest.mark.parametrize("cell", [nn.GRU, nn.RNN, nn.LSTM])
def test_a_state_as_pytorch_draws_it_is_not(cell):
    assert "recurrent_saturation" not in accused(found_in(cell, 1))


def test_a_state_of_relu_has_no_ends():
    def rectified(*args, **kwargs):
        return nn.RNN(*args, nonlinearity="relu", **kwargs)

    assert "recurrent_saturation" not in accused(found_in(rectified, 2))
