"""What stands between layers, or does not: activations, and softmaxes in their place."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, healthy, pair
from benchmarks.trainings.models import mlp

__all__: list[str] = []


class Forgotten(nn.Module):
    """Three layers and an activation, which ``forward`` calls or does not."""

    def __init__(self, *, calls: bool) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(8, 48), nn.Linear(48, 48), nn.Linear(48, 2)
        self.activation, self.calls = nn.ReLU(), calls

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.first, self.second):
            x = self.activation(layer(x)) if self.calls else layer(x)
        return self.last(x)


def _by_signs() -> tuple[Tensor, Tensor]:
    """x (512, 8), y (512,): whether two features have the same sign, which no line tells."""
    x = torch.randn(512, 8)
    return x, (x[:, 0] * x[:, 1] > 0).long()


@pair("mlp", "activations")
def activation_never_called(faulty: bool) -> Training:
    """An activation that forward never calls, and labels that no line tells apart"""
    model = Forgotten(calls=not faulty)
    return Training(
        model, *_by_signs(), F.cross_entropy, Adam(model.parameters(), 0.003), steps=250,
        heard=False,
    )  # fmt: skip


@pair("mlp", "activations", "rank_collapse", "vanishing_gradient")
def softmax_for_an_activation(faulty: bool) -> Training:
    """A softmax behind each hidden layer"""
    act = nn.Softmax(-1) if faulty else nn.ReLU()
    model = nn.Sequential(
        nn.Linear(10, 64), act, nn.Linear(64, 64), act, nn.Linear(64, 64), act, nn.Linear(64, 1)
    )
    return Training(
        model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.002), steps=200
    )


@pair("cnn", "softmax_axis")
def logarithms_over_the_samples(faulty: bool) -> Training:
    """Pixels are classified by a log_softmax over the batch, in a loss by hand"""
    model = nn.Sequential(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 2, 5, padding=2))

    def likelihood(output: Tensor, y: Tensor, axis: int = 1) -> Tensor:
        return -output.log_softmax(axis).gather(1, y[:, None]).mean()

    return Training(
        model, *data.squares(), lambda output, y: likelihood(output, y, 0 if faulty else 1),
        Adam(model.parameters(), 0.005), steps=100, batch=16, heard=False, measure=likelihood,
    )  # fmt: skip


@pair("mlp", "norm_statistics", "constant_output")
def as_many_groups_as_channels(faulty: bool) -> Training:
    """A group norm behind a linear layer, with a group for each of its numbers"""
    model = nn.Sequential(
        nn.Linear(10, 32), nn.GroupNorm(32 if faulty else 4, 32), nn.ReLU(), nn.Linear(32, 1)
    )
    return Training(
        model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.005), steps=100
    )


class Scored(nn.Module):
    """Attention by hand: each place has a key and a number; what is asked for is the number at the
    place whose key is the query's."""

    def __init__(self, *, scaled: bool, width: int = 128) -> None:
        super().__init__()
        self.queries, self.keys = nn.Linear(8, width), nn.Linear(8, width)
        self.values, self.head = nn.Linear(9, 32), nn.Linear(32, 1)
        for layer in (self.queries, self.keys):
            nn.init.normal_(layer.weight, std=1.5 * 8**-0.5)
        self.factor = width**-0.5 if scaled else None

    def forward(self, x: Tensor) -> Tensor:
        scores = self.queries(x[:, :1, :8]) @ self.keys(x[:, 1:, :8]).transpose(1, 2)
        scores = scores if self.factor is None else scores * self.factor
        heard = scores.softmax(-1) @ self.values(x[:, 1:])
        return self.head(heard[:, 0])


@pair("transformer", "attention_scale", "vanishing_gradient")
def scores_not_divided(faulty: bool) -> Training:
    """Attention by hand without the root of its width"""
    keys = torch.randn(512, 12, 8)
    numbers = torch.randn(512, 12)
    asked = torch.randint(12, (512,))
    rows = torch.arange(512)
    query = keys[rows, asked] + 0.1 * torch.randn(512, 8)
    x = torch.cat([query[:, None], keys], 1)
    x = torch.cat([x, torch.cat([torch.zeros(512, 1), numbers], 1)[..., None]], 2)
    model = Scored(scaled=not faulty)
    return Training(
        model, x, numbers[rows, asked][:, None], nn.MSELoss(), Adam(model.parameters(), 0.003),
        steps=200,
    )  # fmt: skip


@healthy("autoencoder")
def bottleneck_of_linear_layers() -> Training:
    """Encoder and decoder of one linear layer each: the main axes of the data"""
    model = nn.Sequential(nn.Linear(24, 4), nn.Linear(4, 24))
    return Training(model, *data.low_rank(), nn.MSELoss(), Adam(model.parameters(), 0.003))


@healthy("mlp")
def prototypes_by_a_softmax() -> Training:
    """Samples are described by how much they are like each of some prototypes"""
    model = nn.Sequential(nn.Linear(10, 24), nn.Softmax(-1), nn.Linear(24, 1))
    return Training(
        model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.01), steps=120
    )


@healthy("mlp")
def similarities_in_both_directions() -> Training:
    """Views of samples find one another, by a softmax over the rows and one over the columns"""
    model = mlp(8)
    x, _ = data.regression()

    def loss(output: Tensor, x: Tensor) -> Tensor:
        one = F.normalize(output, dim=1)
        other = F.normalize(model(x + 0.1 * torch.randn_like(x)), dim=1)
        alike = one @ other.T / 0.2
        return -(alike.log_softmax(0).diag() + alike.log_softmax(1).diag()).mean()

    return Training(model, x, x, loss, Adam(model.parameters(), 0.003), steps=80, heard=False)
