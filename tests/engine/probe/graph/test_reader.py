"""What autograd's graph tells where no hook sees it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from layerscope.engine.probe.graph.reader import GraphReader
from tests.faults import Copied


def named(model: nn.Module):
    known = {id(p): n for n, p in model.named_parameters()}
    return lambda parameter: known.get(id(parameter))


def found_in(loss: Any, model: nn.Module, samples: int = 0):
    return {odd.what: odd for odd in GraphReader(named(model)).read(loss, samples)}


def test_a_view_is_found_after_the_backward_pass_with_what_lies_behind_it():
    model = nn.ModuleDict({"cell": nn.GRU(3, 5), "head": nn.Linear(5, 1)})
    steps, _ = model["cell"](torch.randn(7, 4, 3))
    loss = model["head"](steps.view(4, 7, 5)).pow(2).mean()
    loss.backward()
    view = found_in(loss, model)["view"]
    assert (view.before, view.after) == ((7, 4, 5), (4, 7, 5))
    assert (view.behind or "").startswith("cell.")


def test_a_transpose_that_a_reshape_undoes_is_found_too():
    layer = nn.Linear(6, 6)
    turned = layer(torch.randn(4, 5, 6)).transpose(1, 2)
    assert "view" in found_in(turned.reshape(4, 5, 6).sum(), layer)
    assert not found_in(turned.sum(), layer)
    assert not found_in(turned.reshape(4, 30).sum(), layer)


@pytest.mark.parametrize("batch", [4, 8, 16])
@pytest.mark.parametrize("first", [False, True])
def test_attention_of_pytorch_is_left_alone(batch, first):
    """Also where a head has as many numbers as there are samples."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=first)
    x = torch.randn(batch, 10, 16) if first else torch.randn(10, batch, 16)
    assert not found_in(layer(x).sum(), layer, batch)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.PixelShuffle(2), nn.Flatten()),
        nn.Sequential(nn.Conv2d(1, 8, 3), nn.GroupNorm(4, 8), nn.ChannelShuffle(2)),
        nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(3)),
    ],
)
def test_layers_of_pytorch_are_in_order(model):
    assert not found_in(model(torch.randn(8, 1, 8, 8)).sum(), model, 8)


def test_recurrent_layers_are_in_order():
    for cell in (nn.LSTM(4, 8, 2, bidirectional=True), nn.GRU(4, 8, batch_first=True)):
        steps, _ = cell(torch.randn(6, 5, 4))
        assert not found_in(steps.sum(), cell, 6)


def test_a_softmax_over_the_samples_is_told_from_others():
    layer = nn.Linear(6, 3)
    logits = layer(torch.randn(16, 6))
    assert "softmax over samples" in found_in(logits.softmax(0).pow(2).sum(), layer, 16)
    assert not found_in(logits.softmax(1).pow(2).sum(), layer, 16)
    assert not found_in(logits.softmax(0).pow(2).sum(), layer, 8)  # the first axis is another
    ends = nn.functional.normalize(nn.Linear(6, 8)(torch.randn(16, 6)), dim=1)
    assert not found_in((ends @ ends.T).softmax(0).pow(2).sum(), layer, 16)  # each against each
    assert not found_in((ends @ ends.T).log_softmax(0).diag().sum(), layer, 16)
    mixture = nn.Parameter(torch.zeros(16, 3))
    assert not found_in(mixture.softmax(0).pow(2).sum(), layer, 16)


@pytest.mark.parametrize("softmax", [torch.softmax, torch.log_softmax])
def test_of_a_layer_with_as_many_units_as_there_are_samples_the_first_axis_are_these(softmax):
    layer = nn.Linear(6, 16)
    wide = layer(torch.randn(16, 6))
    assert "softmax over samples" in found_in(softmax(wide, 0).diag().sum(), layer, 16)
    assert not found_in(softmax(wide, 1).diag().sum(), layer, 16)


def test_logarithms_of_chances_over_the_samples_are_told_of_layers_alone():
    layer = nn.Conv2d(1, 3, 3)
    maps = layer(torch.randn(5, 1, 8, 8))
    assert "softmax over samples" in found_in(maps.log_softmax(0).sum(), layer, 5)
    assert not found_in(maps.square().log_softmax(0).sum(), layer, 5)


def test_the_samples_of_a_list_are_ranked_by_one_number_each():
    layer = nn.Linear(6, 1)
    scores = layer(torch.randn(16, 6))
    assert not found_in(scores.log_softmax(0).sum(), layer, 16)
    assert not found_in((scores.softmax(0) * torch.randn(16, 6)).sum(), layer, 16)


def test_a_softmax_of_a_single_number_is_told():
    layer = nn.Linear(6, 1)
    assert "softmax of one" in found_in(layer(torch.randn(16, 6)).softmax(1).sum(), layer, 16)
    assert "softmax of one" not in found_in(layer(torch.randn(16, 6)).softmax(0).sum(), layer, 9)


def test_layers_made_in_forward_are_told_from_another_network():
    model, other = nn.Linear(6, 6), nn.Linear(6, 1)
    reader = GraphReader(named(model))
    for _ in range(3):
        assert reader.read(other(model(torch.randn(4, 6))).sum(), 4) == ()
    reader = GraphReader(named(model))
    told = [reader.read(nn.Linear(6, 1)(model(torch.randn(4, 6))).sum(), 4) for _ in range(3)]
    assert told[0] == ()
    assert told[-1][0].what == "made anew"
    assert told[-1][0].before == (1, 6)


def test_what_was_found_is_told_from_then_on():
    layer = nn.Linear(6, 6)
    reader = GraphReader(named(layer))
    mixed = layer(torch.randn(4, 5, 6)).view(4, 6, 5).sum()
    first = reader.read(mixed, 4)
    assert [odd.what for odd in first] == ["view"]
    for _ in range(5):
        assert reader.read(layer(torch.randn(4, 6)).sum(), 4) == first


def test_a_loss_without_a_graph_tells_nothing():
    for loss in (1.5, None, torch.tensor(1.0)):
        assert not found_in(loss, nn.Linear(1, 1))


def test_an_operation_of_somebodys_own_is_no_obstacle():
    layer = nn.Linear(6, 6)
    assert "view" in found_in(
        Copied.apply(layer(torch.randn(4, 5, 6))).view(4, 6, 5).relu().sum(), layer
    )


@pytest.mark.parametrize(("groups", "places"), [(8, 1), (4, 1), (8, 2)])
def test_a_group_norm_of_a_single_number_a_group(groups, places):
    model = nn.Sequential(nn.Linear(6, 8 * places), nn.Unflatten(1, (8, places)))
    model.append(nn.GroupNorm(groups, 8))
    found = found_in(model(torch.randn(4, 6)).pow(2).sum(), model, 4)
    assert ("norm of one" in found) is (groups == 8 * places)
    assert "norm of one" not in found or found["norm of one"].behind == "2.weight"
