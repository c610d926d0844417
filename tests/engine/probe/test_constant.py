"""The best constant answer, against every other constant."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from layerscope.engine.probe.constant import answers_of, constant_loss

G = torch.Generator().manual_seed(0)
NUMBERS = torch.randn(33, 3, generator=G).exp()
CHANCES = torch.rand(33, 3, generator=G)
CLASSES = torch.randint(0, 4, (33,), generator=G)

CASES = {
    "squares": (nn.MSELoss(), NUMBERS, 3),
    "distances": (nn.L1Loss(), NUMBERS, 3),
    "logits": (nn.BCEWithLogitsLoss(), (CHANCES > 0.7).float(), 3),
    "chances": (nn.BCELoss(), (CHANCES > 0.7).float(), 3),
    "classes": (nn.CrossEntropyLoss(), CLASSES, 4),
    "the sum": (nn.MSELoss(reduction="sum"), NUMBERS, 3),
    "as a function": (F.cross_entropy, CLASSES, 4),
    "soft classes": (nn.CrossEntropyLoss(), CHANCES.softmax(1), 3),
}


@pytest.mark.parametrize("name", CASES)
def test_no_constant_does_better(name):
    loss, target, width = CASES[name]
    output = torch.zeros(33, width)
    best = constant_loss(loss, output, target)
    constant, _ = answers_of(loss)(output, target)
    assert torch.equal(constant, constant[:1].expand_as(constant))
    for _ in range(50):
        other = constant[:1] + 0.1 * torch.randn(1, width, generator=G)
        if name == "chances":
            other = other.clamp(1e-3, 1 - 1e-3)
        assert float(loss(other.expand_as(output), target)) >= best - 1e-6 * abs(best)


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (nn.MSELoss(), torch.zeros(33)),
        (nn.MSELoss(reduction="none"), torch.zeros(33, 3)),
        (lambda y, t: (y - t).square().mean(), torch.zeros(33, 3)),
        (nn.KLDivLoss(), torch.zeros(33, 3)),
        (nn.CrossEntropyLoss(), torch.full((33,), -100)),
    ],
)
def test_what_is_not_known_is_none(loss, target):
    assert constant_loss(loss, torch.zeros(33, 3), target) is None
