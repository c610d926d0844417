"""Losses that are called without the probe, as a function: what they were given its graph tells."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adadelta, Adam, NAdam

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, healthy, pair
from benchmarks.trainings.models import cnn, deep, mlp

__all__: list[str] = []


@pair("cnn", "wrong_loss")
def softmax_in_forward(faulty: bool) -> Training:
    """A softmax at the end of a CNN's forward, and F.cross_entropy in the loop"""
    model = cnn()

    def measure(output: Tensor, y: Tensor) -> Tensor:
        return (
            F.nll_loss(output.clamp_min(1e-12).log(), y) if faulty else F.cross_entropy(output, y)
        )

    return Training(
        model, *data.digits(), F.cross_entropy, Adam(model.parameters(), 0.003), steps=80,
        forward=lambda x: model(x).softmax(1) if faulty else model(x), measure=measure, heard=False,
    )  # fmt: skip


@pair("mlp", "wrong_loss")
def likelihood_of_logits(faulty: bool) -> Training:
    """F.nll_loss of what the last layer gives, without log_softmax"""
    model = mlp(3)
    return Training(
        model, *data.classes(), F.nll_loss if faulty else F.cross_entropy,
        Adam(model.parameters(), 0.01), steps=80, measure=F.cross_entropy, heard=False,
    )  # fmt: skip


@pair("mlp", "wrong_loss")
def sigmoid_twice(faulty: bool) -> Training:
    """torch.sigmoid in forward, and binary_cross_entropy_with_logits in the loop"""
    model = mlp()
    x, y = data.regression()

    def measure(output: Tensor, y: Tensor) -> Tensor:
        if faulty:
            return F.binary_cross_entropy(output, y)
        return F.binary_cross_entropy_with_logits(output, y)

    return Training(
        model, x, (y > 0).float(), F.binary_cross_entropy_with_logits,
        Adam(model.parameters(), 0.005), steps=200,
        forward=lambda x: model(x).sigmoid() if faulty else model(x), measure=measure, heard=False,
    )  # fmt: skip


@pair("mlp", "wrong_loss")
def column_against_row(faulty: bool) -> Training:
    """A column of outputs less a row of targets, squared by hand"""
    model = mlp()
    x, y = data.regression()

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return (output - y if faulty else output[:, 0] - y).pow(2).mean()

    return Training(
        model, x, y[:, 0], loss, Adam(model.parameters(), 0.005), steps=100, heard=False,
        measure=lambda a, b: F.mse_loss(a[:, 0], b),
    )  # fmt: skip


@pair("cnn", "learning_rate_low")
def adadelta_at_the_rate_of_adam(faulty: bool) -> Training:
    """Adadelta at 0.001, whose own scale is 1"""
    model = cnn()
    optimizer = Adadelta(model.parameters(), 0.001 if faulty else 1.0)
    return Training(model, *data.digits(), F.cross_entropy, optimizer, steps=150, heard=False)


@pair("cnn", "learning_rate_low")
def a_thousandth_of_the_rate(faulty: bool) -> Training:
    """NAdam at 3e-6 where 3e-3 was meant"""
    model = cnn()
    optimizer = NAdam(model.parameters(), 3e-6 if faulty else 3e-3)
    return Training(model, *data.digits(), F.cross_entropy, optimizer, steps=150, heard=False)


@pair("mlp", "learning_rate_high", "rank_collapse", "saturation")
def thrown_far_by_adam(faulty: bool) -> Training:
    """Adam at 0.3 under layer norms: it neither explodes nor learns"""
    model = deep(4, 3, norm=True)
    optimizer = Adam(model.parameters(), 0.3 if faulty else 0.003)
    return Training(model, *data.classes(), F.cross_entropy, optimizer, steps=150, heard=False)


@healthy("mlp")
def each_against_each() -> Training:
    """Embeddings that are meant to be near their own sample: every pair is compared"""
    model = mlp(8)
    x, _ = data.regression()

    def loss(output: Tensor, x: Tensor) -> Tensor:
        left, right = (
            F.normalize(output, dim=1),
            F.normalize(model(x + 0.1 * torch.randn_like(x)), dim=1),
        )
        return F.cross_entropy(left @ right.T / 0.2, torch.arange(len(x)))

    return Training(model, x, x, loss, Adam(model.parameters(), 0.003), steps=80, heard=False)


@healthy("mlp")
def ranks_by_pairs() -> Training:
    """The differences of all pairs of outputs, held against those of the targets"""
    model = mlp()
    x, y = data.regression()

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return F.softplus(-(output - output.T) * (y - y.T).sign()).mean()

    return Training(model, x, y, loss, Adam(model.parameters(), 0.005), steps=80, heard=False)


@healthy("cnn")
def rare_class_with_weights() -> Training:
    """Cross entropy with weights of the classes, which begins far above equal chances"""
    model, weight = cnn(), torch.linspace(0.2, 3.0, 10)
    nn.init.normal_(model[-1].weight, std=0.5)
    return Training(
        model, *data.digits(), lambda a, b: F.cross_entropy(a, b, weight=weight),
        SGD(model.parameters(), 0.02, momentum=0.9), steps=120, heard=False,
    )  # fmt: skip


@pair("mlp", "wrong_loss")
def cosines_without_a_temperature(faulty: bool) -> Training:
    """Embeddings held against each other by their cosines, which are taken for logits"""
    model = mlp(8)
    x, _ = data.regression()

    def alike(output: Tensor, x: Tensor) -> Tensor:
        near = model(x + 0.5 * torch.randn_like(x))
        return F.normalize(output, dim=1) @ F.normalize(near, dim=1).T

    def loss(output: Tensor, x: Tensor) -> Tensor:
        cosines = alike(output, x)
        return F.cross_entropy(cosines if faulty else cosines / 0.1, torch.arange(len(x)))

    def measure(output: Tensor, x: Tensor) -> Tensor:
        return 1 - (alike(output, x).argmax(1) == torch.arange(len(x))).float().mean()

    return Training(
        model, x, x, loss, Adam(model.parameters(), 0.003), steps=150, measure=measure,
        heard=False,
    )  # fmt: skip


@pair("mlp", "wrong_loss", "learning_rate_high")
def cross_entropy_turned_round(faulty: bool) -> Training:
    """The negative of the cross entropy, which is the negative of a logarithm already"""
    model = mlp(3)

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return -F.cross_entropy(output, y) if faulty else F.cross_entropy(output, y)

    return Training(
        model, *data.classes(), loss, Adam(model.parameters(), 0.01), steps=150,
        measure=F.cross_entropy, heard=False,
    )  # fmt: skip
