"""Trainings under a probe, and what a probe must leave as it was."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules import module as modules_of_torch
from torch.optim import optimizer as optimizers_of_torch

from layerscope.engine.probe.watch import watch
from tests.trainings import Training

__all__ = ["bits", "frozen_first", "hooks", "same", "watched"]


def hooks():
    """How many global hooks there are."""
    return (
        len(modules_of_torch._global_forward_hooks),
        len(modules_of_torch._global_backward_hooks),
        len(optimizers_of_torch._global_optimizer_pre_hooks),
        len(optimizers_of_torch._global_optimizer_post_hooks),
    )


def watched(training, **options):
    return watch(training.model, training.optimizers, to=":memory:", **options)


def bits(model):
    return [p.detach().clone() for p in model.parameters()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def frozen_first():
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model[2].parameters(), 0.1)
    return Training(model, [optimizer], lambda n: model(torch.ones(3, 6) * (n + 1)).sum())
