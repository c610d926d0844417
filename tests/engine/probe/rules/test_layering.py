"""Networks that are linear, or have a softmax between their layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.faults import train


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


class Forgotten(nn.Module):
    def __init__(self, call):
        super().__init__()
        self.one, self.two, self.act = nn.Linear(8, 32), nn.Linear(32, 2), nn.ReLU()
        self.call = call

    def forward(self, x):
        x = self.one(x)
        return self.two(self.act(x) if self.call else x)


def signs():
    x = torch.randn(256, 8)
    return x, (x[:, 0] * x[:, 1] > 0).long()


def found(model, x, y, loss, rule="activations", steps=80):
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    findings = train(model, x, y, loss, optimizer=optimizer, steps=steps)
    return next((f for f in findings if f.rule == rule), None)


@pytest.mark.parametrize("heard", [True, False])
def test_an_activation_that_is_never_called_is_named_with_the_line_that_calls_it(heard):
    model = Forgotten(call=False)
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    findings = train(model, *signs(), F.cross_entropy, optimizer=optimizer, steps=80, heard=heard)
    told = next(f for f in findings if f.rule == "activations")
    assert told.severity == "error"
    assert told.modules == ("one",)
    assert "32 numbers of 8" in told.explanation
    assert told.fix["code"].startswith("x = torch.relu(x)")


def test_of_a_linear_network_that_learns_what_is_asked_it_is_a_note():
    x = torch.randn(256, 8)
    told = found(Forgotten(call=False), x, (x[:, 0] > 0).long(), F.cross_entropy)
    assert told.severity == "info"


def test_with_its_activation_nothing_is_said():
    assert found(Forgotten(call=True), *signs(), F.cross_entropy) is None


def wave():
    x = torch.randn(256, 4)
    return x, torch.sin(2 * x[:, :1])


def test_softmaxes_between_layers_are_told():
    act = nn.Softmax(-1)
    model = nn.Sequential(nn.Linear(4, 64), act, nn.Linear(64, 64), act, nn.Linear(64, 1))
    told = found(model, *wave(), nn.MSELoss())
    assert told.severity in ("warning", "error")
    assert "2 times" in told.title


def test_a_single_one_where_something_is_learned_is_a_note():
    model = nn.Sequential(nn.Linear(4, 24), nn.Softmax(-1), nn.Linear(24, 1))
    x = torch.randn(256, 4)
    told = found(model, x, x[:, :1] + torch.randn(256, 1), nn.MSELoss(), steps=150)
    assert told.severity == "info"
