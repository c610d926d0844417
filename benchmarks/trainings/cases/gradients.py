"""Gradients that are never zeroed, and parameters that none reaches or nobody steps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, RMSprop

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, pair
from benchmarks.trainings.models import Factors, Mean, autoencoder, cnn, mlp, rnn, transformer

__all__: list[str] = []

STALE, FROZEN = "stale_gradients", "frozen"


def _kept() -> None:
    """Nobody sets the gradients to zero."""


def _stale(faulty: bool):
    return _kept if faulty else None


@pair("mlp", STALE)
def mlp_never_zeroed(faulty: bool) -> Training:
    """zero_grad is forgotten, with SGD"""
    model = mlp()
    return Training(
        model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 0.2), zero=_stale(faulty)
    )


@pair("cnn", STALE)
def cnn_never_zeroed(faulty: bool) -> Training:
    """zero_grad is forgotten, with momentum"""
    model = cnn()
    return Training(
        model,
        *data.digits(),
        nn.CrossEntropyLoss(),
        SGD(model.parameters(), 0.02, momentum=0.9),
        zero=_stale(faulty),
    )


@pair("rnn", STALE)
def gru_never_zeroed(faulty: bool) -> Training:
    """zero_grad is forgotten, on a GRU with RMSprop"""
    model = rnn(nn.GRU)
    return Training(
        model, *data.sequences(), nn.MSELoss(), RMSprop(model.parameters(), 0.01),
        zero=_stale(faulty),
    )  # fmt: skip


@pair("autoencoder", STALE)
def autoencoder_never_zeroed(faulty: bool) -> Training:
    """zero_grad is forgotten, with Adam"""
    model = autoencoder()
    return Training(
        model, *data.low_rank(), nn.MSELoss(), Adam(model.parameters(), 0.02), zero=_stale(faulty)
    )


@pair("mlp", STALE)
def zeroed_before_the_step_of_another(faulty: bool) -> Training:
    """Of two optimisers only the head's gradients are zeroed"""
    model = mlp()
    body, head = SGD(model[:4].parameters(), 0.1), SGD(model[4].parameters(), 0.1)
    return Training(
        model,
        *data.regression(),
        nn.MSELoss(),
        [body, head],
        zero=head.zero_grad if faulty else None,
    )


@pair("transformer", STALE)
def transformer_never_zeroed(faulty: bool) -> Training:
    """zero_grad is forgotten, on a transformer with SGD"""
    model = transformer()
    return Training(
        model,
        *data.tokens(),
        nn.CrossEntropyLoss(),
        SGD(model.parameters(), 0.5),
        zero=_stale(faulty),
    )


@pair("mlp", STALE)
def zeroed_in_every_tenth_step(faulty: bool) -> Training:
    """zero_grad is called in every tenth step, and the optimiser steps in all"""
    model = mlp(3)
    optimizer = SGD(model.parameters(), 0.3, momentum=0.9)
    now = [0]

    def zero() -> None:
        if not faulty or now[0] % 10 == 0:
            optimizer.zero_grad()
        now[0] += 1

    return Training(model, *data.classes(), nn.CrossEntropyLoss(), optimizer, zero=zero)


class _Cut(nn.Module):
    """A body, something between, a head."""

    def __init__(self, body: nn.Module, head: nn.Module, between=lambda x: x) -> None:
        super().__init__()
        self.body, self.head, self.between = body, head, between

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.between(self.body(x)))


def _same(x: Tensor) -> Tensor:
    return x


@pair("mlp", FROZEN)
def detached_between(faulty: bool) -> Training:
    """A detach() before the head"""
    model = _Cut(
        nn.Sequential(nn.Linear(10, 4), nn.Tanh()),
        nn.Linear(4, 1),
        Tensor.detach if faulty else _same,
    )
    return Training(model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.03))


@pair("autoencoder", FROZEN)
def encoder_without_gradient(faulty: bool) -> Training:
    """The encoder is called under no_grad"""
    whole = autoencoder(code=3)
    encoder, decoder = whole[:3], whole[3:]

    def forward(x: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not faulty):
            code = encoder(x)
        return decoder(code)

    return Training(
        whole, *data.low_rank(), nn.MSELoss(), Adam(whole.parameters(), 0.01), forward=forward
    )


@pair("cnn", FROZEN)
def through_numpy(faulty: bool) -> Training:
    """Features go through a NumPy array and come back without their history"""
    whole = cnn(channels=2)
    body, head = whole[:-1], whole[-1]
    through = (lambda x: torch.from_numpy(x.detach().numpy().copy())) if faulty else _same
    model = _Cut(body, head, through)
    return Training(model, *data.digits(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.01))


@pair("embedding", FROZEN)
def embeddings_without_gradient(faulty: bool) -> Training:
    """Items are looked up under no_grad"""
    model = Factors()

    def forward(x: Tensor) -> Tensor:
        items = model.items(x[:, 1])
        return (model.users(x[:, 0]) * (items.detach() if faulty else items)).sum(1, keepdim=True)

    return Training(
        model,
        *data.ratings(),
        nn.MSELoss(),
        Adam(model.parameters(), 0.05),
        forward=forward,
        steps=100,
    )


@pair("mlp", FROZEN)
def optimizer_has_the_first_layer_alone(faulty: bool) -> Training:
    """The optimiser was given the biases alone"""
    model = mlp()
    mine = [p for p in model.parameters() if p.dim() < 2] if faulty else model.parameters()
    return Training(model, *data.regression(), nn.MSELoss(), SGD(mine, 0.05))


@pair("cnn", FROZEN)
def head_replaced_after_the_optimizer(faulty: bool) -> Training:
    """The head and its last features were replaced after the optimiser was made"""
    model = cnn(channels=4)
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9)
    model[-1] = nn.Linear(32, 10)
    model[3] = nn.Conv2d(4, 8, 3, padding=1)
    if not faulty:
        optimizer = SGD(model.parameters(), 0.05, momentum=0.9)
    return Training(model, *data.digits(), nn.CrossEntropyLoss(), optimizer)


@pair("rnn", FROZEN)
def state_detached_every_step(faulty: bool) -> Training:
    """A cell's state is detached at every step, so that nothing is learned through time"""
    cell, head = nn.GRUCell(4, 24), nn.Linear(24, 1)
    model = nn.ModuleList([cell, head])

    def forward(x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 24)
        for moment in x.unbind(1):
            state = cell(moment, state.detach() if faulty else state)
        return head(state)

    return Training(
        model, *data.remembered(6), nn.MSELoss(), Adam(model.parameters(), 0.01), forward=forward
    )  # fmt: skip


@pair("transformer", FROZEN)
def attention_without_gradient(faulty: bool) -> Training:
    """The embedding and the attention are computed under no_grad"""
    body = nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True)
    model = Mean(body, 2, 4)

    def forward(x: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not faulty):
            features = model.body(model.embedding(x)).mean(1)
        return model.head(features)

    return Training(
        model,
        *data.tokens(),
        nn.CrossEntropyLoss(),
        Adam(model.parameters(), 0.01),
        forward=forward,
    )


@pair("mlp", FROZEN)
def one_group_has_a_rate_of_zero(faulty: bool) -> Training:
    """The body's parameter group has a learning rate of 0"""
    model = _Cut(nn.Sequential(nn.Linear(10, 4), nn.Tanh()), nn.Linear(4, 1))
    groups = [
        {"params": model.body.parameters(), "lr": 0.0 if faulty else 0.03},
        {"params": model.head.parameters(), "lr": 0.03},
    ]
    return Training(model, *data.regression(), nn.MSELoss(), Adam(groups))


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


@pair("embedding", "frozen", "vanishing_activation")
def two_factors_of_zeros(faulty: bool) -> Training:
    """Both embeddings of a product begin at zero: neither has a gradient"""
    model = Factors()
    with torch.no_grad():
        model.users.weight.mul_(0.3)
        model.items.weight.mul_(0.3)
        if faulty:
            model.users.weight.zero_()
            model.items.weight.zero_()
    optimizer = Adam(model.parameters(), 0.03)
    return Training(model, *data.ratings(), F.mse_loss, optimizer, steps=150, heard=False)
