"""What a format of few bits loses."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.faults import accused, data, mlp, train


def test_gradients_that_underflow_at_the_output():
    torch.manual_seed(0)
    model = mlp().half()
    x, y = data()

    def loss(output, target):
        return 1e-7 * F.mse_loss(output.float(), target)

    found = train(model, x.half(), y, loss=loss, lr=0.1)
    assert "precision_loss" in accused(found)
