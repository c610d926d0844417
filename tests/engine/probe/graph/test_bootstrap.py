"""Targets that a network gives itself, by autograd's graph."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from layerscope.engine.probe.graph.reader import GraphReader

NOW, NEXT = torch.randn(8, 4), torch.randn(8, 4)
REWARD, GOES_ON = torch.randn(8), torch.ones(8)
ACTION = torch.randint(2, (8, 1))


def found(model, loss):
    loss.backward()
    names = {id(p): n for n, p in model.named_parameters()}
    odd = GraphReader(lambda p: names.get(id(p))).read(loss, 8)
    return next((each for each in odd if each.what == "bootstrapped"), None)


def network(outputs):
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, outputs))


@pytest.mark.parametrize(
    "distance", [F.mse_loss, F.smooth_l1_loss, lambda a, b: (a - b).abs().mean()]
)
def test_the_largest_value_of_what_comes_next(distance):
    model = network(2)
    answer = model(NOW).gather(1, ACTION)[:, 0]
    odd = found(model, distance(answer, REWARD + 0.9 * model(NEXT).max(1)[0] * GOES_ON))
    assert (odd.before, odd.after, odd.behind) == ((8,), (2,), "2.weight")


def test_a_value_and_the_next_one():
    model = network(1)
    odd = found(model, (REWARD + 0.9 * model(NEXT)[:, 0] - model(NOW)[:, 0]).pow(2).mean())
    assert odd.after == ()


def test_constants_and_another_networks_values_are_none():
    model, other = network(2), network(2)
    for later in (model(NEXT).detach(), other(NEXT)):
        answer = model(NOW).gather(1, ACTION)[:, 0]
        assert found(model, F.mse_loss(answer, REWARD + 0.9 * later.max(1)[0])) is None


def test_two_views_that_are_to_be_alike_are_none():
    model = network(2)
    assert found(model, F.mse_loss(model(NOW), model(NEXT))) is None
    assert found(model, F.mse_loss(model(NOW), 0.5 * model(NEXT))) is None
    assert found(model, (model(NOW) - model(NEXT)).abs().mean()) is None
