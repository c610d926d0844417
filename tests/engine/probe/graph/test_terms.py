"""Terms of a loss, by its graph."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from layerscope.engine.probe.graph.reader import GraphReader

X, Y = torch.randn(16, 6), torch.arange(16) % 3


def found(model, loss):
    loss.backward()
    names = {id(p): n for n, p in model.named_parameters()}
    odd = GraphReader(lambda p: names.get(id(p))).read(loss, 16)
    return {each.what: each for each in odd if each.what in ("penalty", "distance")}


def network():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def test_penalties_on_weights_are_counted():
    model = network()
    for penalty in (
        0.1 * sum(p.abs().sum() for p in model.parameters()),
        sum(p.pow(2).sum() for p in model.parameters()) / 2,
        torch.stack([p.norm() for p in model.parameters()]).sum(),
    ):
        odd = found(model, F.cross_entropy(model(X), Y) + penalty)["penalty"]
        assert (odd.before, odd.after, odd.behind) == ((3,), (4,), "2.weight")


def test_what_data_take_part_in_is_none():
    model = network()
    output = model(X)
    assert not found(model, F.cross_entropy(output, Y) + output.pow(2).mean())
    assert not found(model, F.cross_entropy(model(X), Y))


def test_a_distance_beside_a_cross_entropy():
    model = network()
    output = model(X)
    both = F.cross_entropy(output, Y) + F.mse_loss(output[:, 0], X[:, 0])
    assert found(model, both)["distance"].behind == "2.weight"


def test_what_somebody_has_weighed_is_left_alone():
    model = network()

    def penalty():
        return sum(p.abs().sum() for p in model.parameters())

    assert not found(model, 0.5 * F.cross_entropy(model(X), Y) + penalty())
    output = model(X)
    assert not found(model, F.cross_entropy(output, Y) + 0.1 * F.mse_loss(output[:, 0], X[:, 0]))
    assert not found(model, F.cross_entropy(model(X), Y, reduction="sum") + penalty())
