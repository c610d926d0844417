"""Parameters that should learn and do not: gradients lost before the step, in time, or for nothing
that the loss hears."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, nothing, pair
from benchmarks.trainings.models import cnn, mlp, transformer

__all__: list[str] = []

FROZEN = "frozen"


@pair("rnn", FROZEN)
def state_detached_between_moments(faulty: bool) -> Training:
    """A GRU is called a moment at a time, and its state detached before each"""
    cell, head = nn.GRU(4, 24, batch_first=True), nn.Linear(24, 2)
    x, first = data.remembered(6)

    def forward(x: Tensor) -> Tensor:
        out, state = cell(x[:, :1])
        for moment in range(1, x.shape[1]):
            out, state = cell(x[:, moment : moment + 1], state.detach() if faulty else state)
        return head(out[:, 0])

    model = nn.ModuleList([cell, head])
    return Training(
        model, x, (first[:, 0] > 0).long(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.01),
        forward=forward, steps=120,
    )  # fmt: skip


@pair("rnn", FROZEN)
def lstm_cell_detached_every_step(faulty: bool) -> Training:
    """Both states of an LSTM cell are detached at every moment"""
    cell, head = nn.LSTMCell(4, 24), nn.Linear(24, 1)

    def forward(x: Tensor) -> Tensor:
        state = memory = x.new_zeros(len(x), 24)
        for moment in x.unbind(1):
            if faulty:
                state, memory = state.detach(), memory.detach()
            state, memory = cell(moment, (state, memory))
        return head(state)

    model = nn.ModuleList([cell, head])
    return Training(
        model, *data.remembered(7), nn.MSELoss(), Adam(model.parameters(), 0.01),
        forward=forward, steps=100,
    )  # fmt: skip


@pair("cnn", FROZEN, "learning_rate_low")
def zeroed_before_the_step(faulty: bool) -> Training:
    """zero_grad stands between the backward pass and the optimiser's step"""
    model = cnn()
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9)
    return Training(
        model, *data.digits(), nn.CrossEntropyLoss(), optimizer,
        limit=optimizer.zero_grad if faulty else nothing,
    )  # fmt: skip


@pair("transformer", FROZEN, "learning_rate_low")
def set_to_zero_before_the_step(faulty: bool) -> Training:
    """The same in place: gradients are there, and all zero"""
    model = transformer()
    optimizer = Adam(model.parameters(), 0.003)
    return Training(
        model, *data.tokens(), nn.CrossEntropyLoss(), optimizer,
        limit=(lambda: optimizer.zero_grad(set_to_none=False)) if faulty else nothing,
    )  # fmt: skip


@pair("mlp", FROZEN)
def head_that_the_loss_leaves_out(faulty: bool) -> Training:
    """Of two tasks the second one's loss is not added"""
    body, heads = mlp()[:4], nn.ModuleList([nn.Linear(32, 1), nn.Linear(32, 1)])
    model = nn.ModuleList([body, heads])
    x, y = data.regression()
    y = torch.cat([y, x[:, 4:5] - x[:, 5:6]], 1)
    return Training(
        model, x, y, lambda a, b: F.mse_loss(a[:, :1], b[:, :1]) if faulty else F.mse_loss(a, b),
        Adam(model.parameters(), 0.005), steps=100, measure=F.mse_loss,
        forward=lambda x: torch.cat([head(body(x)) for head in heads], 1),
    )  # fmt: skip


class _Modalities(nn.Module):
    """An encoder for each half of the features, in a dictionary."""

    def __init__(self, plain: bool) -> None:
        super().__init__()
        encoders = {
            name: nn.Sequential(nn.Linear(5, 4), nn.Tanh()) for name in ("sound", "picture")
        }
        self.encoders = encoders if plain else nn.ModuleDict(encoders)
        self.head = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        sound, picture = self.encoders["sound"](x[:, :5]), self.encoders["picture"](x[:, 5:])
        return self.head(torch.cat([sound, picture], 1))


@pair("mlp", FROZEN)
def encoders_in_a_dictionary(faulty: bool) -> Training:
    """Two encoders lie in a dictionary of Python's, and the head learns all the same"""
    model = _Modalities(faulty)
    return Training(
        model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.02), steps=120
    )


class _Routed(nn.Module):
    """Linear experts, of which a router chooses."""

    def __init__(self, hard: bool) -> None:
        super().__init__()
        self.router, self.hard = nn.Linear(6, 4), hard
        self.experts = nn.ModuleList(nn.Linear(6, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        chances = self.router(x).softmax(1)
        answers = torch.cat([expert(x) for expert in self.experts], 1)
        if self.hard:
            return answers.gather(1, chances.argmax(1, keepdim=True))
        return (chances * answers).sum(1, keepdim=True)


@pair("mlp", FROZEN)
def router_that_only_counts(faulty: bool) -> Training:
    """The router of a mixture of experts gives an index alone"""
    model, x = _Routed(faulty), torch.randn(512, 6)
    kind = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    y = (x * 2 * torch.randn(4, 6)[kind]).sum(1, keepdim=True)
    return Training(model, x, y, nn.MSELoss(), Adam(model.parameters(), 0.02), steps=250)


class _Sign(nn.Module):
    """Binary units; ``through``: their gradient is that of tanh."""

    def __init__(self, through: bool) -> None:
        super().__init__()
        self.through = through

    def forward(self, x: Tensor) -> Tensor:
        return x.tanh() + (x.sign() - x.tanh()).detach() if self.through else x.sign()


@pair("mlp", "vanishing_gradient", FROZEN)
def binary_units_without_a_slope(faulty: bool) -> Training:
    """sign() as an activation, whose slope is zero"""
    model = nn.Sequential(
        nn.Linear(10, 8), _Sign(not faulty), nn.Linear(8, 8), _Sign(not faulty), nn.Linear(8, 3)
    )
    return Training(
        model, *data.classes(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.01), steps=200
    )


@pair("mlp", FROZEN)
def weights_wrapped_anew(faulty: bool) -> Training:
    """The weights of all layers become new parameters when the optimiser has the old ones"""
    model = mlp(3)
    optimizer = Adam(model.parameters(), 0.01)
    for layer in model[::2] if faulty else ():
        layer.weight = nn.Parameter(1.1 * layer.weight)
    return Training(model, *data.classes(), nn.CrossEntropyLoss(), optimizer, steps=100)


class _Norms(nn.Module):
    """Two hidden layers with norms, drawn small."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.flatten(1))


@pair("mlp", FROZEN)
def norms_alone_are_trained(faulty: bool) -> Training:
    """The optimiser was given the norms' parameters alone"""
    model = _Norms()
    mine = model.body[1].parameters() if faulty else model.parameters()
    return Training(model, *data.digits(), nn.CrossEntropyLoss(), Adam(mine, 0.003), steps=120)
