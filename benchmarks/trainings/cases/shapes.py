"""Axes mixed up, norms over next to nothing, answers dropped: what shapes and places tell."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, healthy, pair
from benchmarks.trainings.models import cnn, mlp, rnn

__all__: list[str] = []


class TimeFirst(nn.Module):
    """A recurrent layer over (time, batch, features), whose steps are given as (batch, time, …):
    exchanged, or by a view alone."""

    def __init__(self, *, by_view: bool) -> None:
        super().__init__()
        self.cell, self.head, self.by_view = nn.GRU(4, 24), nn.Linear(24, 1), by_view

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.cell(x.transpose(0, 1))
        batch = steps.view(*x.shape[:2], 24) if self.by_view else steps.transpose(0, 1)
        return self.head(batch[:, -1])


@pair("rnn", "reshape")
def view_for_transpose(faulty: bool) -> Training:
    """view(batch, time, units) of what is (time, batch, units)"""
    model = TimeFirst(by_view=faulty)
    optimizer = Adam(model.parameters(), 0.005)
    return Training(model, *data.sequences(), F.mse_loss, optimizer, steps=200, heard=False)


class Both(nn.Module):
    """A layer in both directions, read off its last states, (2, batch, units)."""

    def __init__(self, *, by_view: bool) -> None:
        super().__init__()
        self.cell = nn.LSTM(4, 16, batch_first=True, bidirectional=True)
        self.head, self.by_view = nn.Linear(32, 1), by_view

    def forward(self, x: Tensor) -> Tensor:
        _, (last, _) = self.cell(x)
        return self.head(last.reshape(len(x), -1) if self.by_view else torch.cat([*last], 1))


@pair("rnn", "reshape")
def states_of_both_directions_by_view(faulty: bool) -> Training:
    """h_n.view(batch, -1), where its first axis is that of the directions"""
    model = Both(by_view=faulty)
    optimizer = Adam(model.parameters(), 0.005)
    return Training(model, *data.sequences(), F.mse_loss, optimizer, steps=150)


@pair("mlp", "norm_statistics")
def batch_norm_over_two(faulty: bool) -> Training:
    """Batches of two samples under batch norm"""
    model = nn.Sequential(
        nn.Linear(10, 32), nn.BatchNorm1d(32), nn.ReLU(),
        nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3),
    )  # fmt: skip
    return Training(
        model, *data.classes(), F.cross_entropy, Adam(model.parameters(), 0.01), steps=200,
        batch=2 if faulty else 64,
    )  # fmt: skip


@pair("mlp", "dropout")
def dropout_behind_the_last_layer(faulty: bool) -> Training:
    """Half of a regression's answers are made zero"""
    layers = mlp()
    model = nn.Sequential(*layers, nn.Dropout(0.5)) if faulty else layers
    optimizer = Adam(model.parameters(), 0.005)
    return Training(model, *data.regression(), F.mse_loss, optimizer, steps=200, heard=False)


@pair("mlp", "wrong_loss")
def logarithms_over_the_batch(faulty: bool) -> Training:
    """F.nll_loss of log_softmax(dim=0), called elsewhere"""
    model = mlp(3)

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return F.nll_loss(output.log_softmax(0 if faulty else 1), y)

    return Training(
        model, *data.classes(), loss, SGD(model.parameters(), 0.3), steps=100,
        measure=F.cross_entropy, heard=False,
    )  # fmt: skip


@pair("rnn", "recurrent_saturation", "saturation")
def recurrent_weights_drawn_large(faulty: bool) -> Training:
    """A GRU's weights drawn from a normal distribution of std 4"""
    model = rnn(nn.GRU)
    if faulty:
        for parameter in model.cell.parameters():
            nn.init.normal_(parameter, std=4)
    optimizer = Adam(model.parameters(), 0.003)
    return Training(model, *data.sequences(), F.mse_loss, optimizer, steps=200, heard=False)


class Heads(nn.Module):
    """Attention written by hand: four heads of four numbers, over twelve moments."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.out = nn.Linear(4, 16), nn.Linear(16, 1)
        self.three = nn.Linear(16, 48)

    def forward(self, x: Tensor) -> Tensor:
        n, time = x.shape[:2]
        q, k, v = self.three(self.enter(x)).view(n, time, 3, 4, 4).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, time, 16)
        return self.out(mixed.mean(1))


@healthy("transformer")
def heads_by_view_and_transpose() -> Training:
    """Heads are cut from the features by a view, exchanged with time, and joined again"""
    model = Heads()
    optimizer = Adam(model.parameters(), 0.005)
    return Training(model, *data.sequences(), F.mse_loss, optimizer, steps=200, heard=False)


@healthy("cnn", learnable=False)
def patches_of_what_cannot_be_learned() -> Training:
    """Patches cut by views and permute, and labels drawn by chance"""
    x, _ = data.digits()
    head = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))

    def forward(x: Tensor) -> Tensor:
        patches = x.view(len(x), 2, 4, 2, 4).permute(0, 1, 3, 2, 4).reshape(len(x), 4, 16)
        return head(patches)

    return Training(
        head, x, torch.randint(10, (len(x),)), F.cross_entropy, Adam(head.parameters(), 1e-3),
        steps=100, forward=forward,
    )  # fmt: skip


@healthy("cnn")
def batch_norm_over_two_images() -> Training:
    """Two images a batch, each of 64 pixels: the norms have enough"""
    model = cnn(norm=True)
    optimizer = Adam(model.parameters(), 0.003)
    return Training(model, *data.digits(), F.cross_entropy, optimizer, steps=300, batch=2)
