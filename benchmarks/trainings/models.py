"""The networks that are trained, all of them small."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = [
    "Encoder", "Factors", "Graph", "Last", "Mean", "Tokened", "UNet", "autoencoder", "cnn", "deep",
    "gained", "mlp", "rnn", "transformer",
]  # fmt: skip


Model = TypeVar("Model", bound=nn.Module)


def mlp(
    outputs: int = 1, *, features: int = 10, hidden: int = 32, act: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(features, hidden), act(), nn.Linear(hidden, hidden), act(),
        nn.Linear(hidden, outputs),
    )  # fmt: skip


def deep(
    depth: int, outputs: int = 1, *, features: int = 10, hidden: int = 32,
    act: type[nn.Module] = nn.ReLU, norm: bool = False,
) -> nn.Sequential:  # fmt: skip
    """``depth`` hidden layers, with layer norm where asked for."""
    layers: list[nn.Module] = []
    for a, b in pairwise([features, *[hidden] * depth]):
        layers += [nn.Linear(a, b), *([nn.LayerNorm(b)] if norm else []), act()]
    return nn.Sequential(*layers, nn.Linear(hidden, outputs))


def gained(model: Model, gain: float, bias: float = 0.0) -> Model:
    """``model`` with linear weights of variance gain²/n_in and constant biases."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=gain / module.in_features**0.5)
            nn.init.constant_(module.bias, bias)
    return model


def cnn(outputs: int = 10, *, norm: bool = False, channels: int = 8) -> nn.Sequential:
    """Two convolutions over 8 × 8 pixels."""
    layers: list[nn.Module] = []
    for a, b in pairwise([1, channels, 2 * channels]):
        layers += [nn.Conv2d(a, b, 3, padding=1), *([nn.BatchNorm2d(b)] if norm else []), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * channels, outputs))


class Last(nn.Module):
    """A recurrent layer's output after the last step, through a linear map."""

    def __init__(self, cell: nn.RNNBase, outputs: int) -> None:
        super().__init__()
        self.cell = cell
        self.head = nn.Linear(cell.hidden_size, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.cell(x)
        return self.head(out[:, -1])


def rnn(cell: type[nn.RNNBase] = nn.LSTM, outputs: int = 1, *, hidden: int = 24) -> Last:
    """One recurrent layer over four features."""
    return Last(cell(4, hidden, batch_first=True), outputs)


class Mean(nn.Module):
    """Token embeddings, ``body``, the mean over positions, a linear map."""

    def __init__(self, body: nn.Module, outputs: int, width: int, vocabulary: int = 20) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.body = body
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.embedding(x)).mean(1))


def transformer(
    outputs: int = 2, *, width: int = 16, layers: int = 2, norm_first: bool = False,
    dropout: float = 0.0,
) -> Mean:  # fmt: skip
    """Encoder layers of two heads over token embeddings."""
    layer = nn.TransformerEncoderLayer(
        width, 2, 2 * width, dropout, batch_first=True, norm_first=norm_first
    )
    return Mean(nn.TransformerEncoder(layer, layers, enable_nested_tensor=False), outputs, width)


class Tokened(nn.Module):
    """A transformer that reads its answer off a token of its own, which begins at zero."""

    def __init__(self, whole: Mean) -> None:
        super().__init__()
        self.whole = whole
        self.token = nn.Parameter(torch.zeros(1, 1, whole.embedding.embedding_dim))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.whole.embedding(x)
        with_own = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1)
        return self.whole.head(self.whole.body(with_own)[:, 0])


class Factors(nn.Module):
    """The product of a user's and an item's embedding, (batch, 1)."""

    def __init__(self, users: int = 30, items: int = 20, width: int = 4) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(users, width), nn.Embedding(items, width)

    def forward(self, x: Tensor) -> Tensor:
        return (self.users(x[:, 0]) * self.items(x[:, 1])).sum(1, keepdim=True)


def autoencoder(
    features: int = 24, code: int = 4, act: Callable[[], nn.Module] = nn.ReLU
) -> nn.Sequential:
    """Encoder and decoder with one hidden layer each."""
    return nn.Sequential(
        nn.Linear(features, 32), act(), nn.Linear(32, code), nn.Linear(code, 32), act(),
        nn.Linear(32, features),
    )  # fmt: skip


class UNet(nn.Module):
    """Down once and up again over 16 × 16 pixels, with what was there before beside it."""

    def __init__(self, outputs: int = 2, channels: int = 8) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, channels, 3, padding=1)
        self.inner = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.up = nn.ConvTranspose2d(2 * channels, channels, 2, 2)
        self.both = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.out = nn.Conv2d(channels, outputs, 1)
        self.pool, self.act = nn.MaxPool2d(2), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        wide = self.act(self.down(x))
        narrow = self.act(self.inner(self.pool(wide)))
        return self.out(self.act(self.both(torch.cat([wide, self.up(narrow)], 1))))


class Graph(nn.Module):
    """Layers over nodes that hear their neighbours by ``near`` (nodes, nodes); three classes by the
    first four nodes. ``plain``: without skips and norms."""

    def __init__(
        self, near: Tensor, layers: int = 3, *, plain: bool = False, width: int = 24
    ) -> None:
        super().__init__()
        self.register_buffer("near", near)
        self.enter = nn.Linear(8, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.norms = nn.ModuleList(
            nn.Identity() if plain else nn.LayerNorm(width) for _ in range(layers)
        )
        self.acts = nn.ModuleList(nn.ReLU() for _ in range(layers))
        self.head, self.plain = nn.Linear(width, 3), plain

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for layer, norm, act in zip(self.layers, self.norms, self.acts, strict=True):
            heard = act(norm(layer(self.near @ x)))
            x = heard if self.plain else x + heard
        return self.head(x[:, :4].mean(1))


class Encoder(nn.Module):
    """A variational autoencoder of ``code`` numbers: (reconstruction, mean, logarithm of the
    variance) side by side, (batch, features + 2 · code)."""

    def __init__(self, features: int = 24, code: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 32), nn.ReLU())
        self.mean, self.spread = nn.Linear(32, code), nn.Linear(32, code)
        self.decoder = nn.Sequential(nn.Linear(code, 32), nn.ReLU(), nn.Linear(32, features))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x)
        mean, spread = self.mean(hidden), self.spread(hidden)
        code = mean + torch.randn_like(mean) * (0.5 * spread).exp()
        return torch.cat([self.decoder(code), mean, spread], 1)
