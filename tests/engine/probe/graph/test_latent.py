"""Codes that are drawn, by autograd's graph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from layerscope.engine.probe.graph.reader import GraphReader

X = torch.randn(16, 12)


class Coder(nn.Module):
    def __init__(self, *, halves: bool) -> None:
        super().__init__()
        self.body = nn.Linear(12, 8)
        self.mean, self.spread = nn.Linear(8, 4), nn.Linear(8, 4)
        self.decoder, self.halves = nn.Linear(4, 12), halves

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(x)
        if self.halves:
            mean, spread = hidden.chunk(2, 1)
            return mean, spread
        return self.mean(hidden.relu()), self.spread(hidden.relu())


def places(model: Coder, loss: Tensor) -> list[str | None]:
    loss.backward()
    names = {id(p): n for n, p in model.named_parameters()}
    found = GraphReader(lambda p: names.get(id(p))).read(loss, 16)
    return [odd.behind for odd in found if odd.what.startswith("latent")]


@pytest.mark.parametrize("halves", [True, False])
def test_mean_and_spread_are_found_by_their_layers(halves):
    model = Coder(halves=halves)
    mean, spread = model(X)
    code = mean + (spread / 2).exp() * torch.randn_like(mean)
    penalty = -0.5 * (1 + spread - mean**2 - spread.exp()).sum()
    behind = ["body.weight"] * 2 if halves else ["mean.weight", "spread.weight"]
    assert places(model, (model.decoder(code) - X).square().mean() + penalty) == behind


def test_those_of_a_distribution_of_pytorch_are_found_too():
    model = Coder(halves=False)
    mean, spread = model(X)
    drawn = Normal(mean, spread.exp())
    penalty = kl_divergence(drawn, Normal(0.0, 1.0)).sum()
    loss = (model.decoder(drawn.rsample()) - X).square().mean() + penalty
    assert places(model, loss) == ["mean.weight", "spread.weight"]


def test_what_no_penalty_holds_near_zero_is_an_answer_of_its_own():
    """So a policy draws what it does."""
    model = Coder(halves=False)
    mean, spread = model(X)
    drawn = mean + spread.exp() * torch.randn_like(mean)
    assert not places(model, model.decoder(drawn).mean() + spread.mean())
    mean, spread = model(X)
    assert not places(model, (mean**2).mean() + (model.decoder(mean + spread) - X).mean())
