"""Steps made small by something else than their learning rate."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import StepLR

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, healthy, pair
from benchmarks.trainings.models import cnn, mlp

__all__: list[str] = []


@pair("cnn", "frozen")
def a_part_next_to_rest(faulty: bool) -> Training:
    """All but the last layer in a group whose rate is 1e-9"""
    model = cnn()
    groups = [
        {"params": model[:-1].parameters(), "lr": 1e-9 if faulty else 0.1},
        {"params": model[-1].parameters(), "lr": 0.1},
    ]
    return Training(model, *data.digits(), F.cross_entropy, SGD(groups), steps=150)


@pair("mlp", "learning_rate_low")
def scheduler_stepped_every_batch(faulty: bool) -> Training:
    """A decay of a tenth an epoch that is stepped with every batch"""
    model = mlp(3)
    optimizer = Adam(model.parameters(), 0.003)
    scheduler = StepLR(optimizer, 1 if faulty else 100, 0.9)

    def each(number: int) -> None:
        if number:
            scheduler.step()

    return Training(
        model, *data.classes(), F.cross_entropy, optimizer, steps=300, each=each, heard=False
    )


@pair("mlp", "adam_settings", "learning_rate_low")
def epsilon_of_one(faulty: bool) -> Training:
    """Adam with eps=1"""
    model = mlp(3)
    optimizer = Adam(model.parameters(), 0.003, eps=1.0 if faulty else 1e-8)
    return Training(model, *data.classes(), F.cross_entropy, optimizer, steps=200, heard=False)


@pair("cnn", "gradient_clipping", "learning_rate_low")
def clipped_to_a_thousandth(faulty: bool) -> Training:
    """clip_grad_norm_ to 1e-3 before a step of plain descent with momentum"""
    model = cnn()
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9)

    def limit() -> None:
        nn.utils.clip_grad_norm_(model.parameters(), 1e-3 if faulty else 1.0)

    return Training(model, *data.digits(), F.cross_entropy, optimizer, steps=150, limit=limit)


@pair("mlp", "learning_rate_low")
def far_targets_called_elsewhere(faulty: bool) -> Training:
    """Targets of some hundred thousand, by a loss that is called without the probe"""
    model = mlp()
    x, y = data.regression()
    return Training(
        model, x, (y + 2) * (3e5 if faulty else 1), F.mse_loss, Adam(model.parameters(), 0.003),
        steps=200, heard=False,
    )  # fmt: skip


@healthy("mlp")
def group_at_a_hundredth_of_the_rate() -> Training:
    """The first layer trained at a hundredth of the others' rate"""
    model = mlp(3)
    groups = [{"params": model[0].parameters(), "lr": 1e-4}, {"params": model[1:].parameters()}]
    optimizer = Adam(groups, 0.01)
    return Training(model, *data.classes(), F.cross_entropy, optimizer, steps=150)


@healthy("mlp")
def clipped_hard_under_adam() -> Training:
    """clip_grad_norm_ to 1e-3 before Adam, which makes up for it"""
    model = mlp(3)

    def limit() -> None:
        nn.utils.clip_grad_norm_(model.parameters(), 1e-3)

    return Training(
        model, *data.classes(), F.cross_entropy, Adam(model.parameters(), 0.005), steps=150,
        limit=limit,
    )  # fmt: skip
