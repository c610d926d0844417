"""Faults that were written down before any rule had seen them, as people meet them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, pair
from benchmarks.trainings.models import cnn, mlp, rnn

__all__: list[str] = []


class _Over(nn.Module):
    """The logarithm of a softmax along ``axis``."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(x, self.axis)


@pair("mlp", "wrong_loss")
def softmax_over_the_batch(faulty: bool) -> Training:
    """log_softmax is taken over the batch's axis"""
    model = nn.Sequential(mlp(3), _Over(0 if faulty else 1))
    return Training(
        model, *data.classes(), nn.NLLLoss(), Adam(model.parameters(), 0.01), steps=120,
        measure=lambda output, y: F.nll_loss(F.log_softmax(output, 1), y),
    )  # fmt: skip


@pair("mlp", "wrong_loss")
def column_against_three_outputs(faulty: bool) -> Training:
    """Squares of three outputs against one column of class numbers"""
    model = mlp(3)
    x, y = data.classes()
    optimizer = Adam(model.parameters(), 0.01)
    if not faulty:
        return Training(model, x, y, nn.CrossEntropyLoss(), optimizer, steps=120)
    return Training(
        model, x, y[:, None].float(), nn.MSELoss(), optimizer, steps=120,
        measure=lambda output, target: F.cross_entropy(output, target[:, 0].long()),
    )  # fmt: skip


@pair("cnn", "wrong_loss")
def labels_smoothed_away(faulty: bool) -> Training:
    """label_smoothing is 1"""
    model = cnn()
    loss = nn.CrossEntropyLoss(label_smoothing=1.0 if faulty else 0.05)
    return Training(
        model, *data.digits(), loss, Adam(model.parameters(), 0.005), steps=120,
        measure=F.cross_entropy,
    )  # fmt: skip


@pair("cnn", "saturation", "wrong_loss")
def logits_behind_a_tanh(faulty: bool) -> Training:
    """tanh keeps the logits between −1 and 1"""
    model = nn.Sequential(cnn(), *([nn.Tanh()] if faulty else []))
    return Training(
        model, *data.digits(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.01), steps=150
    )


@pair("mlp", "dead_units", "constant_output", "vanishing_activation", "wrong_loss")
def rectified_output_for_negative_targets(faulty: bool) -> Training:
    """A ReLU at the output, all targets below zero"""
    model = nn.Sequential(mlp(), *([nn.ReLU()] if faulty else []))
    x, y = data.regression()
    return Training(model, x, y - 4, nn.MSELoss(), Adam(model.parameters(), 0.01), steps=150)


@pair("mlp", "constant_output", "rank_collapse")
def every_sample_is_the_first(faulty: bool) -> Training:
    """The loader hands out its first row for every sample"""
    model = mlp(3)
    x, y = data.classes()
    x = x[:1].expand_as(x).contiguous() if faulty else x
    return Training(model, x, y, nn.CrossEntropyLoss(), Adam(model.parameters(), 0.01), steps=100)


class _Choice(nn.Module):
    """Which of its inputs is the largest, hard or soft."""

    def __init__(self, hard: bool) -> None:
        super().__init__()
        self.hard = hard

    def forward(self, x: Tensor) -> Tensor:
        return F.one_hot(x.argmax(-1), x.shape[-1]).float() if self.hard else x.softmax(-1)


@pair("mlp", "frozen")
def argmax_between(faulty: bool) -> Training:
    """A hard choice in the middle lets no gradient through"""
    model = nn.Sequential(
        nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 16), _Choice(faulty),
        nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1),
    )  # fmt: skip
    return Training(
        model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.01), steps=200
    )


@pair("rnn", "frozen")
def cell_replaced_after_the_optimizer(faulty: bool) -> Training:
    """The recurrent cell is made anew when the optimiser has the old one already"""
    model = rnn(nn.GRU)
    optimizer = Adam(model.parameters(), 0.02)
    if faulty:
        model.cell = nn.GRU(4, 24, batch_first=True)
    return Training(model, *data.sequences(), nn.MSELoss(), optimizer, steps=100)


class _Listed(nn.Module):
    """Three hidden layers, in a list of Python's or in one that PyTorch knows of."""

    def __init__(self, plain: bool) -> None:
        super().__init__()
        layers = [nn.Linear(n, 24) for n in (10, 24, 24)]
        self.layers = layers if plain else nn.ModuleList(layers)
        self.head = nn.Linear(24, 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.head(x)


@pair("mlp", "frozen")
def layers_in_a_plain_list(faulty: bool) -> Training:
    """Layers lie in a list of Python's: the optimiser does not get their parameters"""
    model = _Listed(faulty)
    return Training(
        model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.02), steps=150
    )


@pair("mlp", "dropout", "constant_output")
def dropout_of_97_everywhere(faulty: bool) -> Training:
    """A dropout that was meant to keep 97 of 100 drops them"""
    p = 0.97 if faulty else 0.03
    model = nn.Sequential(
        nn.Linear(10, 32), nn.ReLU(), nn.Dropout(p), nn.Linear(32, 32), nn.ReLU(), nn.Dropout(p),
        nn.Linear(32, 3),
    )  # fmt: skip
    return Training(
        model, *data.classes(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.01), steps=150
    )


@pair("rnn", "learning_rate_low")
def lstm_sgd_rate_of_1e_5(faulty: bool) -> Training:
    """SGD with momentum at 1e-5 on an LSTM"""
    model = rnn()
    rate = 1e-5 if faulty else 0.5
    return Training(
        model, *data.sequences(), nn.MSELoss(), SGD(model.parameters(), rate, momentum=0.9),
        steps=120,
    )  # fmt: skip


@pair("mlp", "learning_rate_high", "nonfinite")
def summed_loss_with_a_rate_for_means(faulty: bool) -> Training:
    """reduction="sum" at a learning rate that was chosen for the mean"""
    model = mlp(hidden=64)
    loss = nn.MSELoss(reduction="sum" if faulty else "mean")
    return Training(
        model, *data.regression(), loss, SGD(model.parameters(), 0.1), steps=100,
        measure=F.mse_loss,
    )  # fmt: skip
