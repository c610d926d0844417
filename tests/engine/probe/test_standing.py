"""A training that gets nowhere and in which no cause is seen."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.faults import data, mlp, train


def note(findings):
    return next((f for f in findings if f.rule == "not_learning"), None)


def labels_by_chance(steps=150):
    """Of other samples in every step: there is nothing to learn, nor to remember."""
    torch.manual_seed(0)
    model = mlp(3)
    optimizer = torch.optim.Adam(model.parameters(), 0.003)
    return train(
        model, torch.zeros(1), torch.zeros(1), optimizer=optimizer, steps=steps, heard=False,
        forward=lambda _: model(torch.randn(64, 10)),
        loss=lambda output, _: F.cross_entropy(output, torch.randint(3, (64,))),
    )  # fmt: skip


def test_what_cannot_be_learned_gets_a_note_and_is_not_accused():
    findings = labels_by_chance()
    found = note(findings)
    assert found is not None
    assert {f.severity for f in findings} == {"info"}
    assert "no better than a constant answer's" in found.title


def test_not_before_it_can_be_known():
    assert note(labels_by_chance(steps=60)) is None


@pytest.mark.parametrize("rate", [0.05, 1e-7])
def test_who_learns_and_whose_cause_is_seen_gets_none(rate):
    torch.manual_seed(0)
    assert note(train(mlp(), *data(), lr=rate, steps=150)) is None
