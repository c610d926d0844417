"""Inputs on a scale that nobody expects or all the same, and models in the wrong mode."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, pair
from benchmarks.trainings.models import Mean, cnn, mlp, rnn

__all__: list[str] = []

SCALE, MODE = "input_scale", "eval_mode"


@pair("mlp", SCALE)
def pixels_of_0_to_255(faulty: bool) -> Training:
    """An MLP is given raw pixels"""
    x, y = data.digits()
    x = x.flatten(1)
    model = mlp(10, features=64)
    return Training(
        model,
        60 * x + 128 if faulty else x,
        y,
        nn.CrossEntropyLoss(),
        SGD(model.parameters(), 0.05, momentum=0.9),
    )


@pair("cnn", SCALE)
def raw_pixels_cnn(faulty: bool) -> Training:
    """A CNN is given raw pixels, with momentum"""
    x, y = data.digits()
    model = cnn()
    return Training(
        model,
        60 * x + 128 if faulty else x,
        y,
        nn.CrossEntropyLoss(),
        SGD(model.parameters(), 0.02, momentum=0.9),
    )


@pair("mlp", SCALE)
def features_of_ten_thousand(faulty: bool) -> Training:
    """Features of some ten thousand, as incomes are"""
    x, y = data.regression()
    model = mlp()
    return Training(
        model, 1e4 * x if faulty else x, y, nn.MSELoss(), Adam(model.parameters(), 0.01)
    )


@pair("mlp", SCALE)
def features_of_a_millionth(faulty: bool) -> Training:
    """Features of some millionths, as metres where nanometres are meant"""
    x, y = data.regression()
    model = mlp()
    return Training(
        model, 1e-6 * x if faulty else x, y, nn.MSELoss(), SGD(model.parameters(), 0.05)
    )


@pair("mlp", SCALE)
def years_as_they_are(faulty: bool) -> Training:
    """Features about 2000 that differ by 1, as years do"""
    x, y = data.regression()
    model = mlp()
    return Training(
        model, x + 2000 if faulty else x, y, nn.MSELoss(), Adam(model.parameters(), 0.01)
    )


@pair("rnn", SCALE)
def prices_as_they_are(faulty: bool) -> Training:
    """A recurrent net whose gates saturate by inputs of some hundred"""
    x, y = data.sequences()
    model = rnn()
    return Training(
        model, 300 * x + 500 if faulty else x, y, nn.MSELoss(), Adam(model.parameters(), 0.01)
    )


@pair("mlp", SCALE)
def one_column_unscaled(faulty: bool) -> Training:
    """One feature of a hundred thousand among features of 1"""
    x, y = data.regression()
    scale = torch.ones(10)
    scale[5] = 1e5 if faulty else 1.0
    model = mlp()
    return Training(model, x * scale, y, nn.MSELoss(), SGD(model.parameters(), 0.05))


@pair("mlp", SCALE)
def seconds_since_1970(faulty: bool) -> Training:
    """A time in seconds among standardised features"""
    x, y = data.regression()
    if faulty:
        x[:, 9] = 1.6e9 + 1e6 * x[:, 9]
    model = mlp(hidden=64)
    return Training(model, x, y, nn.MSELoss(), Adam(model.parameters(), 0.003), steps=100)


@pair("cnn", SCALE)
def pixels_divided_twice(faulty: bool) -> Training:
    """Pixels of 0 to 1 are divided by 255 again"""
    x, y = data.digits()
    x = (x - x.min()) / (x.max() - x.min())
    model = cnn()
    return Training(
        model, x / 255 if faulty else x, y, nn.CrossEntropyLoss(),
        SGD(model.parameters(), 0.1, momentum=0.9), steps=120,
    )  # fmt: skip


@pair("cnn", SCALE)
def sound_of_16_bits(faulty: bool) -> Training:
    """Samples of ±32768 go into a one-dimensional CNN as they are"""
    time = 2 * torch.pi * torch.arange(64.0) / 64
    high = torch.rand(256) > 0.5
    x = torch.where(high[:, None, None], (7 * time).sin(), (3 * time + 1).sin())
    x = x + 0.3 * torch.randn(256, 1, 64)
    model = nn.Sequential(
        nn.Conv1d(1, 16, 5, 2), nn.ReLU(), nn.Conv1d(16, 16, 5, 2), nn.ReLU(),
        nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(64, 2),
    )  # fmt: skip
    return Training(
        model, 12_000 * x if faulty else x, high.long(), nn.CrossEntropyLoss(),
        SGD(model.parameters(), 0.05, momentum=0.9), steps=80,
    )  # fmt: skip


class _Placed(nn.Module):
    """Adds to every token where it stands, ``apart`` from one place to the next."""

    def __init__(self, apart: float) -> None:
        super().__init__()
        self.apart = apart

    def forward(self, x: Tensor) -> Tensor:
        return x + self.apart * torch.arange(x.shape[1]).float()[:, None]


@pair("transformer", SCALE, "rank_collapse", "exploding_activation")
def places_louder_than_tokens(faulty: bool) -> Training:
    """The numbers of places, thirty apart, are added to the embeddings"""
    layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)
    model = Mean(nn.Sequential(_Placed(30.0 if faulty else 0.1), layer), 2, 16)
    return Training(
        model, *data.tokens(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.003), steps=100
    )


def _normed(depth: int, outputs: int, features: int) -> nn.Sequential:
    """Hidden layers drawn small, which batch norm makes up for."""
    layers: list[nn.Module] = []
    for number in range(depth):
        linear = nn.Linear(32 if number else features, 32)
        nn.init.normal_(linear.weight, std=0.05)
        layers += [linear, nn.BatchNorm1d(32), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(32, outputs))


@pair("mlp", MODE)
def trained_in_eval_mode(faulty: bool) -> Training:
    """model.eval() before the loop, and batch norm"""
    model = _normed(6, 1, 10)
    model.train(not faulty)
    return Training(model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 0.05))


@pair("cnn", MODE)
def eval_before_training_cnn(faulty: bool) -> Training:
    """A CNN with batch norm trained in eval mode, on pixels of 0 to 16"""
    x, y = data.digits()
    model = cnn(norm=True)
    model.train(not faulty)
    return Training(model, 6 * x + 5, y, nn.CrossEntropyLoss(), SGD(model.parameters(), 0.05))


@pair("mlp", MODE)
def never_back_to_train_mode(faulty: bool) -> Training:
    """An evaluation after step 4 leaves the model in eval mode"""
    x, y = data.classes()
    model = _normed(5, 3, 10)

    def each(number: int) -> None:
        if number == 4:
            model.train(not faulty)

    return Training(model, x, y, nn.CrossEntropyLoss(), SGD(model.parameters(), 0.05), each=each)


@pair("autoencoder", MODE)
def autoencoder_in_eval_mode(faulty: bool) -> Training:
    """An autoencoder with batch norm trained in eval mode"""
    model = _normed(4, 24, 24)
    model.train(not faulty)
    return Training(model, *data.low_rank(), nn.MSELoss(), Adam(model.parameters(), 0.01))


@pair("mlp", "constant_output", "rank_collapse")
def pixels_divided_as_whole_numbers(faulty: bool) -> Training:
    """Pixels of 0 to 255 divided by 256 before they are made floats: all are 0"""
    x, y = data.digits()
    pixels = ((x - x.min()) / (x.max() - x.min()) * 255).flatten(1)
    inputs = (pixels.int() // 256).float() if faulty else pixels / 256
    model = mlp(10, features=64)
    return Training(model, inputs, y, nn.CrossEntropyLoss(), Adam(model.parameters(), 0.005))


@pair("mlp", "constant_output", "rank_collapse")
def every_sample_is_the_first(faulty: bool) -> Training:
    """The loader hands out its first row for every sample"""
    model = mlp(3)
    x, y = data.classes()
    x = x[:1].expand_as(x).contiguous() if faulty else x
    return Training(model, x, y, nn.CrossEntropyLoss(), Adam(model.parameters(), 0.01), steps=100)


@pair("mlp", "one_class")
def labels_that_are_all_alike(faulty: bool) -> Training:
    """Labels of 0, 1 and 2 divided by 255 and rounded down: all are 0"""
    model = mlp(3)
    x, y = data.classes()

    def measure(output: Tensor, _: Tensor) -> Tensor:
        return F.cross_entropy(output, y)

    return Training(
        model, x, y // 255 if faulty else y, F.cross_entropy, Adam(model.parameters(), 0.01),
        steps=80, measure=measure,
    )  # fmt: skip
