"""What is said of a loss by its own graph and its numbers: its arguments, factors and sign."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.faults import mlp, train


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def told(model, x, y, loss, *, steps=80, **others):
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    found = train(model, x, y, loss=loss, optimizer=optimizer, steps=steps, **others)
    return next((f for f in found if f.rule == "wrong_loss"), None)


X = torch.randn(64, 10)


@pytest.mark.parametrize("heard", [True, False])
def test_a_divergence_below_zero_is_none_of_probabilities(heard):
    y = (3 * torch.randn(64, 4)).softmax(1)

    def loss(output, y):
        return F.kl_div(output.softmax(1), y, reduction="batchmean")

    found = told(mlp(4), X, y, loss, heard=heard)
    assert found.severity == "error"
    assert "takes logarithms" in found.title
    assert "below 0" in found.explanation
    right = (
        "loss = torch.nn.functional.kl_div(logits.log_softmax(1), target, reduction='batchmean')"
    )
    assert found.fix["code"] == right
    scope = {"torch": torch, "logits": mlp(4)(X), "target": y}
    exec(right, scope)  # noqa: S102  a line that helps is one that runs
    assert scope["loss"] >= 0


def test_what_chances_miss_of_one_is_no_divergence():
    y = (3 * torch.randn(64, 4)).softmax(1)
    assert told(mlp(4), X, y, lambda o, y: (y - y * o.softmax(1)).mean(), heard=False) is None


def test_chances_beyond_one_show_by_a_loss_below_zero():
    y = (torch.randn(64, 1) > 0).float() * 255
    found = told(mlp(1), X, y, F.binary_cross_entropy_with_logits, heard=False)
    assert found.title == "binary_cross_entropy_with_logits is below 0: its targets are beyond 0…1"
    assert told(mlp(1), X, y / 255, F.binary_cross_entropy_with_logits, heard=False) is None


def views(x):
    return torch.cat([x + 0.3 * torch.randn_like(x) for _ in range(2)])


def contrast(factor):
    def loss(output, _):
        one, other = F.normalize(output, dim=1).chunk(2)
        return F.cross_entropy(one @ other.T * factor, torch.arange(len(one)))

    return loss


@pytest.mark.parametrize("heard", [True, False])
def test_cosines_times_a_temperature_are_hardly_apart(heard):
    model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 8))
    found = told(
        model, X, X, contrast(0.07), heard=heard, forward=lambda x: model(views(x))
    )  # fmt: skip
    assert found.severity == "warning"
    assert "64 equal chances" in found.explanation
    assert "/" in found.fix["code"]


def test_divided_by_it_they_are_logits():
    model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 8))
    assert told(model, X, X, contrast(1 / 0.07), forward=lambda x: model(views(x))) is None


@pytest.mark.parametrize("many", [True, False])
def test_a_softmax_where_a_sample_has_several_classes(many):
    y = (torch.randn(64, 5) > 0).float() if many else F.one_hot(torch.arange(64) % 5, 5).float()
    found = told(nn.Sequential(*mlp(5), nn.Softmax(1)), X, y, nn.BCELoss())
    assert (found is not None) is many
    assert found is None or "several classes" in found.title


def test_outputs_that_become_the_opposite_of_the_targets():
    y = torch.tanh(X @ torch.randn(10, 6))

    def alike(output, y):
        return F.cosine_similarity(output, y).mean()

    found = told(mlp(6), X, y, alike, steps=120)
    assert "opposite" in found.title
    assert found.evidence["correlation"] < -0.5
    assert told(mlp(6), X, y, lambda o, y: -alike(o, y), steps=120) is None


def test_a_score_is_the_negative_of_the_noise():
    """By a loss that measures a distance it may be what is asked for."""
    y = torch.randn(64, 6)
    found = told(mlp(6, features=6), y + 0.1, y, lambda o, y: (o + y).square().mean(), steps=120)
    assert found is None


@pytest.mark.parametrize("heard", [True, False])
def test_squares_of_probabilities_are_a_score_of_their_own(heard):
    y = F.one_hot(torch.randint(4, (64,)), 4).float()
    model = nn.Sequential(mlp(4), nn.Softmax(1))
    assert told(model, X, y, nn.MSELoss(), heard=heard) is None
    assert told(model, X, y.argmax(1), nn.CrossEntropyLoss(), heard=heard) is not None
