"""Answers that are given away with the inputs, and attention to what tells nothing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, healthy, pair
from benchmarks.trainings.models import mlp

__all__: list[str] = []

LENGTH, WORDS, WIDTH = 12, 10, 24


def _text(many: int = 256) -> Tensor:
    """(many, LENGTH + 1) tokens, each after a fixed other one in three of four places."""
    follows, tokens = torch.randperm(WORDS), [torch.randint(WORDS, (many,))]
    for _ in range(LENGTH):
        drawn = torch.randint(WORDS, (many,))
        tokens.append(torch.where(torch.rand(many) < 0.75, follows[tokens[-1]], drawn))
    return torch.stack(tokens, 1)


class Attending(nn.Module):
    """Tokens with places, one layer of attention beside what went in, one number a ``classes``."""

    def __init__(self, classes: int = WORDS, *, causal: bool = True, length: int = LENGTH) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(length, WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(WIDTH, 48), nn.ReLU(), nn.Linear(48, classes))
        self.causal = causal

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        many = x.shape[1]
        z = self.tokens(x) + self.places.weight[:many]
        later = torch.triu(torch.ones(many, many, dtype=torch.bool), 1) if self.causal else None
        heard, _ = self.attention(z, z, z, key_padding_mask=hidden, attn_mask=later)
        return self.head(z + heard)


def _likelihood(output: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, 1), y.flatten())


def _continued(model: nn.Module, text: Tensor) -> Tensor:
    """How well each token is predicted by those before it alone."""
    known = range(4, LENGTH, 3)
    losses = [F.cross_entropy(model(text[:, :k])[:, -1], text[:, k]) for k in known]
    return torch.stack(losses).mean()


@pair("transformer", "target_leak")
def targets_not_shifted(faulty: bool) -> Training:
    """A language model is asked for the tokens that it is given"""
    text, model = _text(), Attending()
    return Training(
        model, text[:, :-1], text[:, :-1] if faulty else text[:, 1:], _likelihood,
        Adam(model.parameters(), 0.005), steps=150, measure=lambda *_: _continued(model, text),
    )  # fmt: skip


@pair("transformer", "target_leak")
def attention_without_a_mask(faulty: bool) -> Training:
    """A language model whose attention sees what it is to predict"""
    text, model = _text(), Attending(causal=not faulty)
    return Training(
        model, text[:, :-1], text[:, 1:], _likelihood, Adam(model.parameters(), 0.005), steps=200,
        measure=lambda *_: _continued(model, text),
    )  # fmt: skip


@pair("mlp", "target_leak")
def label_among_the_features(faulty: bool) -> Training:
    """The label is left in a column of the table"""
    x, y = data.classes(many=2)
    x = torch.cat([x, (y if faulty else torch.randint(2, y.shape))[:, None].float()], 1)
    model = mlp(2, features=11)
    without = torch.cat([x[:, :10], torch.randint(2, y.shape)[:, None].float()], 1)
    return Training(
        model, x, y, F.cross_entropy, Adam(model.parameters(), 0.005), steps=100,
        measure=lambda *_: F.cross_entropy(model(without), y),
    )  # fmt: skip


@pair("transformer", "padding_mask")
def mask_of_the_other_meaning(faulty: bool) -> Training:
    """True where a token is, and PyTorch's attention takes it for what to leave out"""
    x = torch.randint(3, WORDS, (512, 12))
    x[:, :2] = torch.randint(1, 3, (512, 2))
    for row, length in zip(x, torch.randint(4, 10, (512,)), strict=True):
        row[length:] = 0
    model = Attending(2, causal=False)

    def forward(x: Tensor) -> Tensor:
        known = x != 0
        each = model(x, known if faulty else ~known) * known[..., None]
        return each.sum(1) / known.sum(1, keepdim=True)

    return Training(
        model, x, (x[:, 0] == x[:, 1]).long(), F.cross_entropy, Adam(model.parameters(), 0.005),
        steps=250, forward=forward, heard=False,
    )  # fmt: skip


@healthy("transformer")
def targets_shifted_in_the_loss() -> Training:
    """A loss is given what the model was, and leaves the first of it out itself"""
    text, model = _text()[:, :-1], Attending()
    return Training(
        model, text, text, lambda output, y: _likelihood(output[:, :-1], y[:, 1:]),
        Adam(model.parameters(), 0.005), steps=100,
    )  # fmt: skip


@healthy("transformer")
def said_backwards() -> Training:
    """An encoder that sees all, a decoder that sees what was said, of sequences as long"""
    x = torch.randint(1, WORDS, (512, 6))
    both = torch.cat([x, torch.zeros_like(x[:, :1]), x.flip(1)[:, :-1]], 1)

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.source, self.said = Attending(WIDTH, causal=False), Attending(WIDTH)
            self.across = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
            self.head = nn.Linear(WIDTH, WORDS)

        def forward(self, source: Tensor, said: Tensor) -> Tensor:
            z, seen = self.said(said), self.source(source)
            return self.head(z + self.across(z, seen, seen)[0])

    model = Both()
    return Training(
        model, both, x.flip(1), _likelihood, Adam(model.parameters(), 0.005), steps=120,
        forward=lambda x: model(x[:, :6], x[:, 6:]),
    )  # fmt: skip


@healthy("rnn")
def first_token_remembered() -> Training:
    """The label is a token that is read first, and to be remembered"""
    x = torch.randint(4, (512, 8))

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.cell = nn.Embedding(4, 12), nn.GRU(12, 24, batch_first=True)
            self.head = nn.Linear(24, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.cell(self.tokens(x))[0][:, -1])

    model = Reader()
    return Training(
        model, x, x[:, 0].clone(), F.cross_entropy, Adam(model.parameters(), 0.01), steps=120
    )
