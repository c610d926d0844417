"""Layers that follow one another without an activation, or with a softmax, by autograd's graph."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from layerscope.engine.probe.graph.reader import GraphReader
from tests.faults import Copied

X = torch.randn(16, 12)


def found_in(model: nn.Module, given: Tensor = X) -> dict[str, Any]:
    loss = model(given).pow(2).mean()
    loss.backward()
    names = {id(p): n for n, p in model.named_parameters()}
    reader = GraphReader(lambda p: names.get(id(p)))
    return {odd.what: odd for odd in reader.read(loss, len(given))}


def test_layers_without_an_activation_are_one_map():
    odd = found_in(nn.Sequential(nn.Linear(12, 32), nn.Dropout(), nn.Linear(32, 4)))["linear"]
    assert (odd.before, odd.behind) == ((12, 32, 4), "0.weight")


def test_convolutions_are_too_with_norms_and_pools_between():
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.AvgPool2d(2), nn.Conv2d(16, 8, 3),
        nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip
    assert found_in(model, torch.randn(4, 1, 8, 8))["linear"].before == (144, 8, 3)


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.scale = inner, nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.inner(x)


def test_a_sum_with_what_went_in_is_linear_too():
    model = nn.Sequential(nn.Linear(12, 12), Residual(nn.Linear(12, 12)), nn.Linear(12, 12))
    assert "linear" in found_in(model)


class Unknown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Copied.apply(x)


@pytest.mark.parametrize(
    "act", [nn.ReLU(), nn.Tanh(), nn.LayerNorm(32), nn.MaxPool1d(1), Unknown()]
)
def test_one_activation_anywhere_is_enough(act):
    layers = [nn.Linear(12, 32), act, nn.Linear(32, 32), nn.Linear(32, 4)]
    assert "linear" not in found_in(nn.Sequential(*layers))


@pytest.mark.parametrize("sizes", [(12, 3, 12), (12, 4, 8)])
def test_a_bottleneck_is_meant(sizes):
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    assert "linear" not in found_in(nn.Sequential(*layers))


def test_one_layer_alone_is_a_model_as_any():
    assert not found_in(nn.Linear(12, 4))
    table = nn.Sequential(nn.Embedding(9, 16), nn.Linear(16, 9))
    assert not found_in(table, torch.arange(9))


def test_softmaxes_between_layers_are_counted():
    act = nn.Softmax(-1)
    model = nn.Sequential(nn.Linear(12, 16), act, nn.Linear(16, 16), act, nn.Linear(16, 1))
    odd = found_in(model)["hidden softmax"]
    assert (odd.before, odd.after, odd.behind) == ((16, 16), (2,), "2.weight")
    assert "hidden softmax" not in found_in(model[:2])


def test_the_weights_of_attention_and_of_experts_are_none():
    layer = nn.TransformerEncoderLayer(12, 2, 24, batch_first=True)
    assert not found_in(layer, torch.randn(4, 5, 12))

    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.experts = nn.Linear(12, 4), nn.Linear(12, 4)
            self.last = nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.gate(x).softmax(1) * self.experts(x))

    assert not found_in(Experts())
