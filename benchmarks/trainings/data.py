"""Small tasks, drawn by the global generator, which a training's seed sets."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor

__all__ = [
    "classes", "digits", "graphs", "low_rank", "ratings", "regression", "remembered", "sequences",
    "squares", "tokens",
]  # fmt: skip

N = 256


def regression(features: int = 10) -> tuple[Tensor, Tensor]:
    """x (N, features), y (N, 1) of variance about 1: a line and a wave."""
    x = torch.randn(N, features)
    y = 0.6 * x[:, :2].sum(1) + 0.5 * torch.sin(2 * x[:, 2])
    return x, y[:, None]


def classes(features: int = 10, many: int = 3) -> tuple[Tensor, Tensor]:
    """x (N, features), y (N,): which of some random directions it lies along most."""
    x = torch.randn(N, features)
    return x, (x @ torch.randn(features, many)).argmax(1)


def digits() -> tuple[Tensor, Tensor]:
    """x (N, 1, 8, 8) of mean 0 and variance 1, y (N,) of ten classes: real handwriting."""
    images, labels = load_digits(return_X_y=True)
    chosen = torch.randperm(len(images))[:N]
    x = torch.tensor(images, dtype=torch.float32)[chosen].view(-1, 1, 8, 8)
    return (x - x.mean()) / x.std(), torch.tensor(labels)[chosen].long()


def sequences(length: int = 12) -> tuple[Tensor, Tensor]:
    """x (N, length, 4), y (N, 1): what one feature adds up to over time."""
    x = torch.randn(N, length, 4)
    return x, x[:, :, :1].sum(1) / length**0.5


def remembered(length: int) -> tuple[Tensor, Tensor]:
    """x (N, length, 4), y (N, 1): one feature of the beginning."""
    x = torch.randn(N, length, 4)
    return x, x[:, 0, :1].clone()


def tokens(length: int = 10, vocabulary: int = 20) -> tuple[Tensor, Tensor]:
    """x (N, length) whole numbers, y (N,): whether more than half are in the upper half."""
    x = torch.randint(vocabulary, (N, length))
    return x, ((x >= vocabulary // 2).float().mean(1) > 0.5).long()


def ratings(users: int = 30, items: int = 20) -> tuple[Tensor, Tensor]:
    """x (N, 2) of users and items, y (N, 1): the product of three hidden features of each."""
    x = torch.stack([torch.randint(users, (N,)), torch.randint(items, (N,))], 1)
    u, v = torch.randn(users, 3), torch.randn(items, 3)
    return x, (u[x[:, 0]] * v[x[:, 1]]).sum(1, keepdim=True) / 3**0.5


def low_rank(features: int = 24, rank: int = 4) -> tuple[Tensor, Tensor]:
    """x and y alike, (N, features): what an autoencoder can hold in ``rank`` numbers."""
    x = torch.randn(N, rank) @ torch.randn(rank, features) / rank**0.5
    return x, x.clone()


def graphs(nodes: int = 16, features: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """x (N, nodes, features), y (N,) of three classes by what some nodes have in the mean, and who
    is whose neighbour (nodes, nodes), each its own too."""
    near = (torch.rand(nodes, nodes) < 0.3).float()
    near = ((near + near.T) > 0).float().fill_diagonal_(1)
    x = torch.randn(N, nodes, features)
    return x, (x[:, :4].mean(1) @ torch.randn(features, 3)).argmax(1), near


def squares(samples: int = 96) -> tuple[Tensor, Tensor]:
    """x (samples, 1, 16, 16) noise with a bright square, y (samples, 16, 16) where that is."""
    inside = torch.zeros(samples, 16, 16).long()
    for picture in inside:
        (top, left), side = torch.randint(0, 9, (2,)).tolist(), int(torch.randint(4, 7, (1,)))
        picture[top : top + side, left : left + side] = 1
    return 0.3 * torch.randn(samples, 1, 16, 16) + 1.5 * inside[:, None], inside
