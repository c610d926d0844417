"""Signals and gradients that do not survive the depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, pair
from benchmarks.trainings.models import Graph, Mean, deep, gained

__all__: list[str] = []

VANISHING = ("vanishing_gradient", "vanishing_activation")
EXPLODING = ("exploding_activation", "exploding_gradient")


@pair("mlp", *VANISHING)
def deep_sigmoid(faulty: bool) -> Training:
    """Ten sigmoid layers; the twin's are ReLU by He's initialisation"""
    model = deep(10, act=nn.Sigmoid) if faulty else gained(deep(10), 2**0.5)
    return Training(model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 0.02))


@pair("mlp", *VANISHING)
def deep_tanh_drawn_small(faulty: bool) -> Training:
    """Twelve tanh layers of gain 0.2; the twin's is 1"""
    model = gained(deep(12, act=nn.Tanh), 0.2 if faulty else 1.1)
    return Training(model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 0.05))


@pair("mlp", *VANISHING)
def hundredth_of_randn(faulty: bool) -> Training:
    """Weights of randn · 0.01 in eight layers"""
    model = gained(deep(8, 3), 0.01 * 32**0.5 if faulty else 2**0.5)
    return Training(model, *data.classes(), nn.CrossEntropyLoss(), SGD(model.parameters(), 0.05))


@pair("mlp", *VANISHING, "rank_collapse")
def deep_relu_by_pytorchs_default(faulty: bool) -> Training:
    """Twenty ReLU layers by nn.Linear's own initialisation; the twin has layer norm"""
    model = deep(20, norm=not faulty)
    return Training(model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 2e-4))


@pair("mlp", *EXPLODING)
def deep_relu_drawn_large(faulty: bool) -> Training:
    """Ten ReLU layers of gain 4; the twin's is √2"""
    model = gained(deep(10), 4.0 if faulty else 2**0.5)
    return Training(model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 0.01))


@pair("mlp", *EXPLODING)
def deep_linear_drawn_large(faulty: bool) -> Training:
    """Ten layers of plain randn weights under Adam"""
    model = gained(deep(10), 32**0.5 if faulty else 2**0.5)
    return Training(model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 1e-3))


class _Residual(nn.Module):
    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.inner(x)


@pair("mlp", *EXPLODING)
def residual_blocks_too_strong(faulty: bool) -> Training:
    """Twelve residual branches added three times over, without a norm"""
    blocks = [_Residual(32, 6.0 if faulty else 0.3) for _ in range(12)]
    model = nn.Sequential(nn.Linear(10, 32), *blocks, nn.Linear(32, 1))
    return Training(model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 0.01))


@pair("rnn", "exploding_activation", "nonfinite", "exploding_gradient")
def recurrent_weights_too_large(faulty: bool) -> Training:
    """A ReLU RNN whose recurrent weights double its state at every step"""
    cell = nn.RNN(4, 24, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        cell.weight_hh_l0.copy_((2.5 if faulty else 0.7) * torch.eye(24))
    head = nn.Linear(24, 1)
    model = nn.ModuleList([cell, head])
    return Training(
        model, *data.sequences(30), nn.MSELoss(), Adam(model.parameters(), 0.003),
        forward=lambda x: head(cell(x)[0][:, -1]),
    )  # fmt: skip


class _Attention(nn.Module):
    """Self-attention alone, beside which nothing passes unless ``residual``."""

    def __init__(self, width: int, residual: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.attention(x, x, x, need_weights=False)
        return self.norm(x + out) if self.residual else out


@pair("transformer", "vanishing_activation", "vanishing_gradient", "rank_collapse")
def attention_without_skips(faulty: bool) -> Training:
    """Six attention layers without skip connections or norms"""
    body = nn.Sequential(*[_Attention(16, not faulty) for _ in range(6)])
    model = Mean(body, 2, 16)
    return Training(model, *data.tokens(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.001))


@pair("mlp", "rank_collapse", "vanishing_gradient", "constant_output", "vanishing_activation")
def biases_drown_the_signal(faulty: bool) -> Training:
    """Biases of 1 in ten tanh layers of gain a half"""
    model = gained(deep(10, act=nn.Tanh), 0.5 if faulty else 1.1, 1.0 if faulty else 0.0)
    return Training(model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 0.05))


@pair("cnn", *VANISHING, "rank_collapse")
def deep_cnn_drawn_small(faulty: bool) -> Training:
    """Eight convolutions with weights of 0.02 and no norm; the twin has batch norm"""
    layers: list[nn.Module] = []
    for number in range(8):
        conv = nn.Conv2d(8 if number else 1, 8, 3, padding=1)
        nn.init.normal_(conv.weight, std=0.02)
        layers += [conv, *([] if faulty else [nn.BatchNorm2d(8)]), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10))
    return Training(model, *data.digits(), nn.CrossEntropyLoss(), SGD(model.parameters(), 0.1))


@pair("graph", "rank_collapse", *VANISHING)
def sixteen_means_of_neighbours(faulty: bool) -> Training:
    """Sixteen layers over a graph that take means without skips, until all nodes are alike"""
    x, y, near = data.graphs()
    model = Graph(near / near.sum(1, keepdim=True), 16 if faulty else 6, plain=faulty)
    return Training(model, x, y, nn.CrossEntropyLoss(), Adam(model.parameters(), 0.003), steps=100)


@pair("graph", *EXPLODING, "output_scale")
def sums_of_many_neighbours(faulty: bool) -> Training:
    """Six layers over a dense graph that add up all neighbours"""
    x, y, near = data.graphs()
    near = torch.ones_like(near)
    model = Graph(3 * near if faulty else near / near.sum(1, keepdim=True), 6, plain=faulty)
    return Training(model, x, y, nn.CrossEntropyLoss(), Adam(model.parameters(), 0.003), steps=100)


@pair("mlp", "activations", *VANISHING)
def softmax_between_layers(faulty: bool) -> Training:
    """Softmax as the activation of three hidden layers"""
    model = deep(3, 3, hidden=64)
    for place in (1, 3, 5) if faulty else ():
        model[place] = nn.Softmax(1)
    return Training(
        model, *data.classes(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.002), steps=120
    )
