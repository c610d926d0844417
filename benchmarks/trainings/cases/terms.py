"""Losses that are sums, of which one term leaves nothing of another, or follows the gradient."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, healthy, pair
from benchmarks.trainings.models import mlp

__all__: list[str] = []


def _penalised(model: nn.Module, factor: float, power: int) -> Training:
    def loss(output: Tensor, y: Tensor) -> Tensor:
        penalty = sum(p.abs().pow(power).sum() for p in model.parameters())
        return F.cross_entropy(output, y) + factor * penalty

    return Training(
        model, *data.classes(), loss, Adam(model.parameters(), 0.003), steps=200, heard=False,
        measure=F.cross_entropy,
    )  # fmt: skip


@pair("mlp", "drowned_term", "weight_decay", "constant_output")
def absolute_weights_at_full_strength(faulty: bool) -> Training:
    """The sum of all absolute weights is added as it is, without a small factor"""
    return _penalised(mlp(3), 1.0 if faulty else 1e-4, 1)


@healthy("mlp")
def weights_in_the_loss() -> Training:
    """The sum of squared weights with a factor, at first the larger part of the loss"""
    model = mlp(3, hidden=96)
    return _penalised(model, 2e-3, 2)


class Both(nn.Module):
    """Classes and a number, by one body: (batch, 4 + 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU())
        self.classes, self.number = nn.Linear(48, 4), nn.Linear(48, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x)
        return torch.cat([self.classes(hidden), self.number(hidden)], 1)


def _of_both(units: float) -> Training:
    x = torch.randn(512, 8)
    kind = (x[:, 0] * x[:, 1] > 0).long() * 2 + (x[:, 2] > 0).long()
    y = torch.stack([kind.float(), units * x[:, 3] * x[:, 4]], 1)
    model = Both()

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(output[:, :4], y[:, 0].long()) + F.mse_loss(output[:, 4], y[:, 1])

    return Training(
        model, x, y, loss, Adam(model.parameters(), 0.003), steps=250, heard=False,
        measure=lambda output, y: F.cross_entropy(output[:, :4], y[:, 0].long()),
    )  # fmt: skip


@pair("mlp", "drowned_term")
def distances_in_raw_units(faulty: bool) -> Training:
    """Classes and a number in units of thousands, by one body and one sum"""
    return _of_both(2000.0 if faulty else 1.0)


@healthy("mlp")
def distances_of_some_units() -> Training:
    """Classes and a number of a few units: the one loss is ten times the other"""
    return _of_both(3.0)


PLACES, KEPT = 9, 0.9


class Chain(nn.Module):
    """What is to be expected of a step to the left and of one to the right, (batch, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(PLACES, 32), nn.ReLU())
        self.values = nn.Linear(32, 2)

    def forward(self, place: Tensor) -> Tensor:
        return self.values(self.body(F.one_hot(place, PLACES).float()))


def _true_values() -> Tensor:
    """By iteration, (PLACES, 2): three of four steps go where they should, one the other way."""
    values = torch.zeros(PLACES)
    place = torch.arange(PLACES)
    for _ in range(500):
        ends = [(place + way).clamp(0, PLACES - 1) for way in (-1, 1)]
        left, right = (
            (e == PLACES - 1).float() + KEPT * values[e] * (e < PLACES - 1) for e in ends
        )
        each = torch.stack([0.75 * left + 0.25 * right, 0.25 * left + 0.75 * right], 1)
        values = each.max(1).values
    return each


def _walked(follows: bool) -> Training:
    place, way = torch.randint(PLACES - 1, (1024,)), torch.randint(2, (1024,))
    goes = torch.where(torch.rand(1024) < 0.75, way, 1 - way)
    then = (place + 2 * goes - 1).clamp(0, PLACES - 1)
    x = torch.stack([place, way, then], 1)
    model, true = Chain(), _true_values()

    def apart(output: Tensor, x: Tensor) -> Tensor:
        reward = (x[:, 2] == PLACES - 1).float()
        with torch.set_grad_enabled(follows):
            target = reward + KEPT * model(x[:, 2]).max(1).values * (1 - reward)
        return F.mse_loss(output.gather(1, x[:, 1:2])[:, 0], target)

    return Training(
        model, x, x, apart, Adam(model.parameters(), 0.005), steps=400,
        forward=lambda x: model(x[:, 0]), heard=False,
        measure=lambda *_: F.mse_loss(model(torch.arange(PLACES - 1)), true[:-1]),
    )  # fmt: skip


@pair("mlp", "bootstrapped_target")
def target_that_follows_the_gradient(faulty: bool) -> Training:
    """The value of the next state is no constant: the gradient goes through it too"""
    return _walked(faulty)
