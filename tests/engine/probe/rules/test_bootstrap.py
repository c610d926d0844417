"""Targets that follow the gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.faults import mlp, train


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def told(detached, steps=60):
    x, after, reward = torch.randn(64, 10), torch.randn(64, 10), torch.randn(64)
    action, model = torch.randint(2, (64, 1)), mlp(2)

    def loss(output, _):
        later = model(after).max(1).values
        later = later.detach() if detached else later
        return F.smooth_l1_loss(output.gather(1, action)[:, 0], reward + 0.9 * later)

    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    found = train(model, x, x, loss=loss, optimizer=optimizer, steps=steps, heard=False)
    return next((f for f in found if f.rule == "bootstrapped_target"), None)


def test_a_target_with_a_gradient_is_told_with_the_line_that_cuts_it():
    found = told(detached=False)
    assert found.severity in ("warning", "error")
    assert found.modules == ("4",)
    assert found.fix["code"].startswith("target = target.detach()")
    assert told(detached=False, steps=12).severity == "info"


def test_without_one_nothing_is_said():
    assert told(detached=True) is None
