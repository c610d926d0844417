"""Scores of attention that are not scaled down."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.faults import train

WIDTH = 128


class Attention(nn.Module):
    def __init__(self, spread):
        super().__init__()
        self.queries, self.keys = nn.Linear(8, WIDTH), nn.Linear(8, WIDTH)
        self.values = nn.Linear(8, 1)
        for layer in (self.queries, self.keys):
            nn.init.normal_(layer.weight, std=spread)

    def forward(self, x):
        scores = self.queries(x) @ self.keys(x).transpose(1, 2)
        return (scores.softmax(-1) @ self.values(x)).mean(1)


@pytest.mark.parametrize(("spread", "told_of"), [(8**-0.5, True), (0.1, False)])
def test_large_scores_are_told_and_small_ones_are_not(spread, told_of):
    torch.manual_seed(0)
    model, x, y = Attention(spread), torch.randn(64, 10, 8), torch.randn(64, 1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    findings = train(model, x, y, optimizer=optimizer, steps=40)
    found = next((f for f in findings if f.rule == "attention_scale"), None)
    assert (found is not None) is told_of
    if found is not None:
        assert found.severity == "warning"
        assert found.modules == ("queries", "keys")
        assert found.evidence["scores_std"] > 8
        scope = {"queries": model.queries(x), "keys": model.keys(x)}
        exec(found.fix["code"], scope)  # noqa: S102  a line that helps is one that runs
        assert 0.5 < scope["scores"].std() < 2
