"""Attention by hand, by autograd's graph: whether its scores were scaled down."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from layerscope.engine.probe.graph.reader import GraphReader


class Attention(nn.Module):
    def __init__(
        self, factor: float | None = None, heads: int = 1, *, normed: bool = False
    ) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(32, 32) for _ in range(3))
        self.factor, self.heads = factor, heads
        self.norm = nn.LayerNorm(32) if normed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.norm(self.q(x)), self.k(x), self.v(x)
        if self.heads > 1:
            q, k, v = (e.unflatten(-1, (self.heads, -1)).transpose(1, 2) for e in (q, k, v))
        scores = q @ k.transpose(-2, -1)
        if self.factor is not None:
            scores = scores * self.factor
        later = torch.triu(torch.ones(x.shape[1], x.shape[1], dtype=torch.bool), 1)
        return scores.masked_fill(later, -1e9).softmax(-1) @ v


def found(model: nn.Module, x: Tensor) -> list[tuple[str | None, tuple[int, ...]]]:
    loss = model(x).square().mean()
    loss.backward()
    names = {id(p): n for n, p in model.named_parameters()}
    odd = GraphReader(lambda p: names.get(id(p))).read(loss, len(x))
    return [(each.behind, each.after) for each in odd if each.what.startswith("unscaled")]


@pytest.mark.parametrize(("heads", "width"), [(1, 32), (4, 8)])
@pytest.mark.parametrize("in_order", [True, False])
def test_queries_and_keys_without_a_factor_are_told_by_their_layers(heads, width, in_order):
    x = torch.randn(4, 6, 33)[..., :32]
    told = found(Attention(heads=heads), x.contiguous() if in_order else x)
    assert told == [("q.weight", (width,)), ("k.weight", (width,))]


@pytest.mark.parametrize(
    "model",
    [Attention(32**-0.5), Attention(32**-0.5, 4), Attention(normed=True), Attention(heads=8)],
)
def test_scaled_or_normed_or_narrow_ones_are_left_alone(model):
    assert not found(model, torch.randn(4, 6, 32))


def test_attention_of_pytorch_scales_itself():
    layer = nn.TransformerEncoderLayer(32, 2, 64, batch_first=True)
    assert not found(layer, torch.randn(4, 6, 32))
