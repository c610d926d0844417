"""Terms of a loss that leave nothing of others."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.faults import data, mlp, train


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def told(model, x, y, loss, lr=0.005, steps=130, **others):
    optimizer = torch.optim.Adam(model.parameters(), lr)
    found = train(model, x, y, loss=loss, optimizer=optimizer, steps=steps, **others)
    return next((f for f in found if f.rule == "drowned_term"), None)


def penalised(model, factor):
    def loss(output, y):
        return F.cross_entropy(output, y) + factor * sum(p.abs().sum() for p in model.parameters())

    return loss


@pytest.mark.parametrize("heard", [True, False])
def test_a_penalty_that_leaves_equal_chances(heard):
    model = mlp(3)
    found = told(model, *data("classes"), penalised(model, 1.0), heard=heard)
    assert found.severity == "error"
    assert "4 parameters" in found.explanation or "6 parameters" in found.explanation
    assert found.evidence["logits_apart"] < 0.11
    assert "1e-5" in found.fix["code"]


def test_a_small_one_leaves_what_is_learned():
    model = mlp(3)
    assert told(model, *data("classes"), penalised(model, 1e-4)) is None


def test_logits_that_nothing_has_moved_yet_are_not_the_penaltys():
    model = mlp(3)
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    assert told(model, *data("classes"), penalised(model, 1e-4), lr=1e-7) is None


@pytest.mark.parametrize(("units", "drowned"), [(3000.0, True), (3.0, False)])
def test_a_distance_in_raw_units(units, drowned):
    x, y = data("classes")
    number = units * torch.randn(64)

    def loss(output, y):
        return F.cross_entropy(output[:, :3], y) + F.mse_loss(output[:, 3], number)

    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.classes, self.number = (
                nn.Linear(10, 32),
                nn.Linear(32, 3),
                nn.Linear(32, 1),
            )

        def forward(self, x):
            hidden = self.body(x).relu()
            return torch.cat([self.classes(hidden), self.number(hidden)], 1)

    found = told(Heads(), x, y, loss)
    assert (found is not None) is drowned
    if found is not None:
        assert found.modules == ("classes",)
        scope = {"target": number}
        exec(found.fix["code"], scope)  # noqa: S102  a line that helps is one that runs
        assert scope["target"].std() == pytest.approx(1, abs=1e-3)
