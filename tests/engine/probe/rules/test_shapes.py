"""Axes mixed up by a view, and norms over too few samples."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.faults import accused, data, train


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def told(findings, rule):
    return next((f for f in findings if f.rule == rule), None)


class TimeFirst(nn.Module):
    def __init__(self, by_view):
        super().__init__()
        self.cell, self.head, self.by_view = nn.GRU(4, 16), nn.Linear(16, 1), by_view

    def forward(self, x):
        steps, _ = self.cell(x.transpose(0, 1))
        batch = steps.view(len(x), -1, 16) if self.by_view else steps.transpose(0, 1)
        return self.head(batch[:, -1])


def sequences():
    x = torch.randn(64, 10, 4)
    return x, x[:, :, :1].sum(1) / 10**0.5


@pytest.mark.parametrize("heard", [True, False])
def test_a_view_for_a_transpose_is_told_with_its_place_and_its_repair(heard):
    model = TimeFirst(by_view=True)
    findings = train(model, *sequences(), lr=0.05, steps=40, heard=heard)
    found = told(findings, "reshape")
    assert found is not None
    assert found.severity in ("warning", "error")
    assert found.modules == ("cell",)
    assert found.evidence["before"] == [10, 64, 16]
    assert found.evidence["after"] == [64, 10, 16]
    assert found.fix["code"].startswith("x = x.transpose(0, 1)")
    assert torch.zeros(10, 64, 16).transpose(0, 1).shape == (64, 10, 16)


def test_a_state_read_as_it_should_be_is_none():
    model = TimeFirst(by_view=False)
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    assert told(train(model, *sequences(), optimizer=optimizer, steps=60), "reshape") is None


def test_before_it_is_known_to_hinder_it_is_a_note():
    model = TimeFirst(by_view=True)
    found = told(train(model, *sequences(), lr=0.01, steps=12), "reshape")
    assert found is not None
    assert found.severity == "info"


def normed(batch, layer=nn.BatchNorm1d):
    model = nn.Sequential(nn.Linear(10, 32), layer(32), nn.ReLU(), nn.Linear(32, 3))
    x, y = data("classes", n=256)
    rows = {}

    def each(number):
        rows["now"] = torch.randint(256, (batch,))

    return train(
        model, x, y, loss=lambda output, _: F.cross_entropy(output, y[rows["now"]]),
        forward=lambda x: model(x[rows["now"]]), each=each, steps=80, heard=False,
        optimizer=torch.optim.Adam(model.parameters(), 0.003),
    )  # fmt: skip


def test_batch_norm_over_two_samples_is_told():
    found = told(normed(2), "norm_statistics")
    assert found is not None
    assert found.modules == ("1",)
    assert found.evidence["values"] == 2


@pytest.mark.parametrize(("batch", "layer"), [(32, nn.BatchNorm1d), (2, nn.LayerNorm)])
def test_larger_batches_and_other_norms_are_left_alone(batch, layer):
    assert "norm_statistics" not in accused(normed(batch, layer))


@pytest.mark.parametrize(("groups", "told_of"), [(32, True), (4, False)])
def test_a_group_norm_with_as_many_groups_as_numbers(groups, told_of):
    findings = normed(64, lambda width: nn.GroupNorm(groups, width))
    found = told(findings, "norm_statistics")
    assert (found is not None) is told_of
    assert found is None or found.modules == ("1",)
