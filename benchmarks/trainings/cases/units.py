"""Units that do nothing, cannot move, or are copies of one another."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import SGD, Adam

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, pair
from benchmarks.trainings.models import Factors, UNet, autoencoder, cnn, gained, mlp, rnn

__all__: list[str] = []


def _bias(model: nn.Module, value: float) -> None:
    for module in list(model.modules())[:-1]:
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.constant_(module.bias, value)


@pair("mlp", "dead_units")
def rectifiers_dead_from_the_start(faulty: bool) -> Training:
    """Biases of −5 in front of ReLU"""
    model = mlp(3)
    if faulty:
        nn.init.constant_(model[0].bias, -5.0)
    return Training(model, *data.classes(), nn.CrossEntropyLoss(), SGD(model.parameters(), 0.1))


@pair("cnn", "dead_units")
def channels_dead_from_the_start(faulty: bool) -> Training:
    """Biases of −10 in a CNN's first layer"""
    model = cnn()
    if faulty:
        nn.init.constant_(model[0].bias, -10.0)
    return Training(
        model, *data.digits(), nn.CrossEntropyLoss(), SGD(model.parameters(), 0.05, momentum=0.9)
    )


@pair("mlp", "learning_rate_high", "dead_units")
def rectifiers_killed_by_one_step(faulty: bool) -> Training:
    """The first step is some hundred times too large and kills the units"""
    x, y = data.regression()
    model = mlp()
    optimizer = SGD(model.parameters(), 0.05)

    def each(number: int) -> None:
        optimizer.param_groups[0]["lr"] = 20.0 if faulty and number == 0 else 0.05

    return Training(model, x, y + 1, nn.MSELoss(), optimizer, each=each)


@pair("autoencoder", "dead_units")
def most_of_a_layer_is_dead(faulty: bool) -> Training:
    """All but two units of an autoencoder's encoder are dead"""
    model = autoencoder()
    if faulty:
        with torch.no_grad():
            model[0].bias[2:] = -20.0
    return Training(model, *data.low_rank(), nn.MSELoss(), Adam(model.parameters(), 0.005))


@pair("mlp", "saturation", "exploding_activation")
def tanh_drawn_far_too_large(faulty: bool) -> Training:
    """tanh layers with weights fifty times too large"""
    model = gained(mlp(act=nn.Tanh), 50.0 if faulty else 1.0)
    nn.init.normal_(model[-1].weight, std=0.1)
    return Training(model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 0.02))


@pair("mlp", "saturation")
def sigmoid_pushed_by_biases(faulty: bool) -> Training:
    """Biases of 15 in front of sigmoids"""
    model = mlp(3, act=nn.Sigmoid)
    _bias(model, 15.0 if faulty else 0.0)
    return Training(model, *data.classes(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.02))


@pair("autoencoder", "saturation")
def autoencoder_of_plain_randn(faulty: bool) -> Training:
    """A tanh autoencoder with weights of plain randn, times 20, behind the code"""
    model = autoencoder(act=nn.Tanh)
    with torch.no_grad():
        layer = model[3]
        layer.weight.copy_(torch.randn_like(layer.weight) * (20.0 if faulty else 0.2))
    return Training(model, *data.low_rank(), nn.MSELoss(), SGD(model.parameters(), 0.2), steps=100)


def _constant(model: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)


@pair("mlp", "symmetry")
def all_weights_alike(faulty: bool) -> Training:
    """Every weight begins at 0.1"""
    model = mlp(3)
    if faulty:
        _constant(model, 0.1)
    return Training(model, *data.classes(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.02))


@pair("mlp", "symmetry")
def all_weights_zero(faulty: bool) -> Training:
    """Every weight begins at zero"""
    model = mlp()
    if faulty:
        _constant(model, 0.0)
    return Training(model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 0.05))


@pair("cnn", "symmetry")
def all_kernels_alike(faulty: bool) -> Training:
    """Every kernel of a CNN begins at 0.05"""
    model = cnn()
    if faulty:
        _constant(model, 0.05)
    return Training(model, *data.digits(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.01))


@pair("autoencoder", "symmetry")
def autoencoder_of_ones(faulty: bool) -> Training:
    """Encoder and decoder begin with weights of 0.05"""
    model = autoencoder(act=nn.Tanh)
    if faulty:
        _constant(model, 0.05)
    return Training(model, *data.low_rank(), nn.MSELoss(), Adam(model.parameters(), 0.01))


@pair("embedding", "symmetry")
def factors_alike(faulty: bool) -> Training:
    """Every entry of the embeddings begins at 0.5"""
    model = Factors()
    if faulty:
        _constant(model, 0.5)
    return Training(model, *data.ratings(), nn.MSELoss(), Adam(model.parameters(), 0.05), steps=100)


@pair("rnn", "symmetry")
def recurrent_units_alike(faulty: bool) -> Training:
    """Every weight of a GRU begins at 0.1"""
    x, _ = data.sequences()
    model = rnn(nn.GRU)
    if faulty:
        _constant(model, 0.1)
    target = torch.tanh(x[:, -1, :1]) * x[:, -1, 1:2]
    return Training(model, x, target, nn.MSELoss(), Adam(model.parameters(), 0.03), steps=120)


class _Adapted(nn.Module):
    """A frozen layer and a change of low rank, of which both parts may begin at zero."""

    def __init__(self, base: nn.Linear, both: bool) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, 4, bias=False)
        self.up = nn.Linear(4, base.out_features, bias=False)
        for part in [self.up, *([self.down] if both else [])]:
            nn.init.zeros_(part.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.up(self.down(x))


@pair("mlp", "symmetry", "vanishing_gradient", "frozen")
def both_parts_of_an_adaption_zero(faulty: bool) -> Training:
    """LoRA whose A begins at zero as its B does"""
    layers = [_Adapted(part, faulty) if isinstance(part, nn.Linear) else part for part in mlp(3)]
    model = nn.Sequential(*layers)
    optimizer = Adam([p for p in model.parameters() if p.requires_grad], 0.01)
    return Training(model, *data.classes(), nn.CrossEntropyLoss(), optimizer, steps=100)


@pair("cnn", "symmetry", "constant_output")
def unet_of_zeros(faulty: bool) -> Training:
    """Every parameter of a U-Net begins at zero"""
    model = UNet()
    if faulty:
        _constant(model, 0.0)
    return Training(
        model, *data.squares(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.003), steps=50,
        batch=16,
    )  # fmt: skip


class _Gated(nn.Module):
    """What a gate lets through."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.value, self.gate, self.head = nn.Linear(10, 24), nn.Linear(10, 24), nn.Linear(24, 1)
        self.tanh, self.sigmoid = nn.Tanh(), nn.Sigmoid()
        nn.init.constant_(self.gate.bias, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.sigmoid(self.gate(x)) * self.tanh(self.value(x)))


@pair("mlp", "saturation", "vanishing_gradient")
def gates_that_begin_closed(faulty: bool) -> Training:
    """Biases of −12 in front of the only gates, which open slowly"""
    model = _Gated(-12.0 if faulty else 0.0)
    return Training(
        model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.01), steps=120
    )
