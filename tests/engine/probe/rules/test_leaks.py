"""Answers that are given away, and attention to padding alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.faults import data, mlp, train


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def told(rule, model, x, y, loss, steps=60, **others):
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    found = train(model, x, y, loss=loss, optimizer=optimizer, steps=steps, **others)
    return next((f for f in found if f.rule == rule), None)


class Attending(nn.Module):
    def __init__(self, outputs, mask):
        super().__init__()
        self.tokens, self.places = nn.Embedding(9, 16), nn.Embedding(10, 16)
        self.heard, self.head = (
            nn.MultiheadAttention(16, 2, batch_first=True),
            nn.Linear(16, outputs),
        )
        self.mask = mask

    def forward(self, x, hidden=None):
        z = self.tokens(x) + self.places.weight[: x.shape[1]]
        z = z + self.heard(z, z, z, attn_mask=self.mask, key_padding_mask=hidden)[0]
        return self.head(z)


def likelihood(output, y):
    return F.cross_entropy(output.flatten(0, 1), y.flatten())


CAUSAL = torch.triu(torch.ones(10, 10, dtype=torch.bool), 1)


def test_a_language_model_that_is_asked_for_what_it_is_given():
    text = torch.randint(9, (64, 11))
    found = told("target_leak", Attending(9, CAUSAL), text[:, :-1], text[:, :-1], likelihood)
    assert found.severity == "warning"
    assert "only to copy" in found.explanation
    logits, tokens = Attending(9, CAUSAL)(text[:, :-1]), text[:, :-1]
    scope = {"logits": logits, "tokens": tokens, "loss_function": F.cross_entropy}
    exec(found.fix["code"], scope)  # noqa: S102  a line that helps is one that runs
    assert scope["loss"].isfinite()


def test_before_it_has_learned_to_copy_nothing_is_said():
    text = torch.randint(9, (64, 11))
    model = Attending(9, CAUSAL)
    assert told("target_leak", model, text[:, :-1], text[:, :-1], likelihood, steps=6) is None


@pytest.mark.parametrize("mask", [None, CAUSAL])
def test_attention_that_sees_the_next_tokens(mask):
    text = torch.randint(9, (64, 11))
    found = told("target_leak", Attending(9, mask), text[:, :-1], text[:, 1:], likelihood)
    assert (found is not None) is (mask is None)
    if found is not None:
        assert found.modules == ("heard",)
        assert "attn_mask" in found.fix["code"]


@pytest.mark.parametrize("labels", [True, False])
def test_a_column_that_is_the_target(labels):
    x, y = data("classes")
    y = y if labels else torch.randn(64)
    x = torch.cat([x[:, :9], y[:, None].float()], 1)
    loss = F.cross_entropy if labels else lambda output, y: (output[:, 0] - y).square().mean()
    found = told("target_leak", mlp(3 if labels else 1), x, y, loss)
    assert found.title == "Column 9 of the input is the target"
    assert found.severity == ("warning" if labels else "info")
    scope = {"torch": torch, "x": x}
    exec(found.fix["code"], scope)  # noqa: S102
    assert scope["x"].shape == (64, 9)


@pytest.mark.parametrize("inverted", [True, False])
def test_a_padding_mask_of_the_other_meaning(inverted):
    x = torch.randint(1, 9, (64, 10))
    for row, length in zip(x, torch.randint(4, 9, (64,)), strict=True):
        row[length:] = 0
    model = Attending(2, None)

    def forward(x):
        return model(x, (x != 0) if inverted else (x == 0))[:, 0]

    y = (x[:, 0] > x[:, 1]).long()
    found = told("padding_mask", model, x, y, F.cross_entropy, heard=False, forward=forward)
    assert (found is not None) is inverted
    if found is not None:
        assert found.modules == ("heard",)
        assert found.severity in ("warning", "error")
