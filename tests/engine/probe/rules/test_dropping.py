"""Dropout that leaves next to nothing, and what is zero for other reasons."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.faults import train


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def dropping(model, y=None, **others):
    x = torch.randn(256, 10)
    y = torch.randn(256, 1) if y is None else y(x)
    optimizer = torch.optim.Adam(model.parameters(), 0.003)
    found = train(model, x, y, optimizer=optimizer, **others)
    return next((f for f in found if f.rule == "dropout"), None)


def network(p, in_place=False, hidden=64):
    return nn.Sequential(
        nn.Linear(10, hidden), nn.Dropout(p, in_place), nn.ReLU(), nn.Linear(hidden, 1)
    )


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(("p", "told"), [(0.97, True), (0.5, False)])
def test_a_dropout_that_leaves_next_to_nothing_is_told(p, told, in_place):
    found = dropping(network(p, in_place))
    assert (found is not None) is told
    if told:
        assert found.modules == ("1",)
        assert found.since == 1
        assert found.severity == "error"
        assert found.evidence["worst_share"] == p


def test_what_is_dropped_in_eval_mode_is_nothing():
    assert dropping(network(0.97).eval()) is None


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.9, 0.95])
def test_a_wide_network_that_fares_well_may_drop_most(p):
    assert dropping(network(p, hidden=2048), lambda x: x[:, :1] - x[:, 1:2], steps=150) is None


class Sparse(nn.Module):
    """Of each sample's features the largest are kept, by a function between two modules."""

    def __init__(self, p, kept):
        super().__init__()
        self.code, self.drop, self.head = nn.Linear(10, 256), nn.Dropout(p), nn.Linear(256, 1)
        self.kept = kept

    def forward(self, x):
        code = self.code(x).relu()
        kept = code.topk(self.kept, 1)
        return self.head(self.drop(torch.zeros_like(code).scatter(1, kept.indices, kept.values)))


@pytest.mark.parametrize(("p", "kept"), [(0.5, 20), (0.1, 6)])
def test_what_a_function_before_it_made_zero_is_not_dropped(p, kept):
    assert dropping(Sparse(p, kept)) is None


def test_what_an_lstm_drops_between_its_layers():
    x = torch.randn(64, 6, 4, generator=torch.Generator().manual_seed(1))
    y = (x[:, :, 0].sum(1) > 0).long()

    def findings(p):
        torch.manual_seed(0)
        cell, head = nn.LSTM(4, 24, num_layers=3, dropout=p, batch_first=True), nn.Linear(24, 2)
        model = nn.ModuleList([cell, head])
        return train(
            model, x, y, loss=nn.CrossEntropyLoss(), steps=60,
            optimizer=torch.optim.Adam(model.parameters(), 0.005),
            forward=lambda x: head(cell(x)[0][:, -1]),
        )  # fmt: skip

    (found,) = [f for f in findings(0.97) if f.rule == "dropout"]
    assert found.modules == ("0",)
    assert found.severity != "info"
    assert "dropout" not in {f.rule for f in findings(0.2)}


@pytest.mark.parametrize(("p", "told"), [(0.8, True), (0.5, False)])
def test_a_high_share_is_told_of_a_network_that_learns_nothing_in_a_hundred_steps(p, told):
    """Inputs are drawn anew at every step, and targets belong to none; half is usual."""
    model = network(p)
    found = dropping(model, steps=120, forward=lambda _: model(torch.randn(256, 10)))
    assert (found is not None) is told


def behind(p):
    return nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 1), nn.Dropout(p))


@pytest.mark.parametrize("heard", [True, False])
def test_dropout_behind_the_last_layer_is_told(heard):
    found = dropping(behind(0.5), lambda x: x[:, :1], steps=60, heard=heard)
    assert found is not None
    assert found.modules == ("3",)
    assert "comes last" in found.title


def test_dropout_before_a_weight_that_is_shared_is_not_the_last():
    """The last module that is called, but a product with the embedding's weights follows."""
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Dropout(0.5))
    weight = model[0].weight
    found = dropping(model, lambda x: x[:, :1], steps=60,
                     forward=lambda x: (model(x) @ weight)[:, :1])  # fmt: skip
    assert found is None
