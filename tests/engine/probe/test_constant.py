"""The best constant answer, against every other constant."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook

from layerscope.engine.probe.asking import AskedLoss
from layerscope.engine.probe.constant import constant_loss, known_loss

G = torch.Generator().manual_seed(0)
NUMBERS = torch.randn(33, 3, generator=G).exp()
CHANCES = torch.rand(33, 3, generator=G)
YES = (CHANCES > 0.7).float()
CLASSES = torch.randint(0, 4, (33,), generator=G)
SOFT = CHANCES.softmax(1)
OFTEN = torch.tensor([0.1, 5.0, 1.0, 2.0])
EACH = torch.rand(33, 1, generator=G)
MAPS = torch.randint(0, 4, (33, 2, 5), generator=G)

CASES = {
    "squares": (nn.MSELoss(), NUMBERS, 3),
    "the sum": (nn.MSELoss(reduction="sum"), NUMBERS, 3),
    "distances": (nn.L1Loss(), NUMBERS, 3),
    "smooth": (nn.SmoothL1Loss(), NUMBERS, 3),
    "smooth, narrow": (nn.SmoothL1Loss(beta=0.05), NUMBERS, 3),
    "smooth, of no width": (nn.SmoothL1Loss(beta=0.0), NUMBERS, 3),
    "huber": (nn.HuberLoss(), NUMBERS, 3),
    "huber, narrow": (nn.HuberLoss(delta=0.1), NUMBERS, 3),
    "huber, wide": (nn.HuberLoss(delta=100.0), NUMBERS, 3),
    "logits": (nn.BCEWithLogitsLoss(), YES, 3),
    "logits, weighted": (nn.BCEWithLogitsLoss(weight=EACH), YES, 3),
    "logits, the positive weighted": (
        nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0, 0.2, 1.0])), YES, 3,
    ),
    "chances": (nn.BCELoss(), YES, 3),
    "chances, weighted": (nn.BCELoss(weight=EACH), YES, 3),
    "classes": (nn.CrossEntropyLoss(), CLASSES, 4),
    "classes, weighted": (nn.CrossEntropyLoss(weight=OFTEN), CLASSES, 4),
    "classes, smoothed": (nn.CrossEntropyLoss(label_smoothing=0.2), CLASSES, 4),
    "classes, smoothed and weighted": (
        nn.CrossEntropyLoss(weight=OFTEN, label_smoothing=0.3), CLASSES, 4,
    ),
    "classes, one ignored": (nn.CrossEntropyLoss(ignore_index=2), CLASSES, 4),
    "classes, one ignored, smoothed": (
        nn.CrossEntropyLoss(ignore_index=0, label_smoothing=0.1, weight=OFTEN), CLASSES, 4,
    ),
    "classes of every place": (nn.CrossEntropyLoss(ignore_index=1), MAPS, 4),
    "as a function": (F.cross_entropy, CLASSES, 4),
    "soft classes": (nn.CrossEntropyLoss(), SOFT, 3),
    "soft classes, weighted and smoothed": (
        nn.CrossEntropyLoss(weight=OFTEN[:3], label_smoothing=0.2), SOFT, 3,
    ),
}  # fmt: skip


def zeros(target, width):
    return torch.zeros(33, width, *target.shape[2 if target.is_floating_point() else 1 :])


def others(constant, width, name):
    for scale in (1e-3, 0.03, 0.3):
        for _ in range(20):
            shape = [1, width, *[1] * (constant.dim() - 2)]
            other = constant[:1] + scale * torch.randn(shape, generator=G)
            if name.startswith("chances"):
                other = other.clamp(1e-3, 1 - 1e-3)
            yield other.expand_as(constant)


@pytest.mark.parametrize("name", CASES)
def test_no_constant_does_better(name):
    loss, target, width = CASES[name]
    output = zeros(target, width)
    best = constant_loss(loss, output, target)
    constant, _ = known_loss(loss).answers(output, target)
    assert torch.equal(constant, constant[:1].expand_as(constant))
    assert best == pytest.approx(float(loss(constant, target)), rel=1e-6)
    for other in others(constant, width, name):
        assert float(loss(other, target)) >= best - 2e-6 * abs(best)


NAMED = {
    "ignored": (F.cross_entropy, CLASSES, 4, (), {"ignore_index": 3}),
    "smoothed": (F.cross_entropy, CLASSES, 4, (), {"label_smoothing": 0.2}),
    "weighted in place": (F.cross_entropy, CLASSES, 4, (OFTEN,), {}),
    "squares, weighted": (F.mse_loss, NUMBERS, 3, (), {"weight": EACH.expand(33, 3)}),
    "huber": (F.huber_loss, NUMBERS, 3, (), {"delta": 0.2}),
    "positive": (
        F.binary_cross_entropy_with_logits, YES, 3, (), {"pos_weight": torch.tensor(4.0)},
    ),
    "logarithms": (F.nll_loss, CLASSES, 4, (OFTEN,), {"ignore_index": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_a_functions_own_settings_count(name):
    function, target, width, rest, named = NAMED[name]
    output = zeros(target, width)
    best = constant_loss(function, output, target, *rest, **named)
    constant, _ = known_loss(function, rest, named).answers(output, target)
    for other in others(constant, width, name):
        if function is F.nll_loss:
            other = other.log_softmax(1)
        assert float(function(other, target, *rest, **named)) >= best - 2e-6 * abs(best)


class Own(nn.CrossEntropyLoss):
    """Whatever it computes."""


def patched():
    loss = nn.MSELoss()
    loss.forward = lambda y, t: (y - t).abs().max()
    return loss


VARIED = torch.linspace(-1, 1, 99).view(33, 3)


@pytest.mark.parametrize(
    ("loss", "target", "named"),
    [
        (nn.MSELoss(), VARIED[:, 0], {}),
        (nn.MSELoss(reduction="none"), VARIED, {}),
        (lambda y, t: (y - t).square().mean(), VARIED, {}),
        (nn.KLDivLoss(), VARIED, {}),
        (nn.CrossEntropyLoss(), torch.full((33,), -100), {}),
        (Own(), CLASSES, {}),
        (patched(), VARIED, {}),
        (F.l1_loss, VARIED, {"weight": torch.ones(33, 3)}),
        (F.mse_loss, VARIED, {"size_average": False}),
        (F.nll_loss, CLASSES, {"label_smoothing": 0.1}),
    ],
)
def test_what_is_not_known_is_none(loss, target, named):
    assert constant_loss(loss, torch.zeros(33, 3), target, **named) is None


@pytest.mark.parametrize(
    ("loss", "one", "varied"),
    [
        (nn.MSELoss(), torch.tensor([[1.0, 0.0, 0.0]]).expand(33, 3), VARIED),
        (nn.CrossEntropyLoss(), torch.zeros(33, dtype=torch.long), CLASSES % 3),
    ],
)
def test_where_all_are_asked_for_the_same_there_is_none(loss, one, varied):
    output = torch.zeros(33, 3)
    assert constant_loss(loss, output, one) is None
    assert constant_loss(loss, output, varied) is not None
    assert constant_loss(loss, output[:1], one[:1]) is not None


def test_the_users_loss_is_not_called():
    loss = nn.CrossEntropyLoss()
    called = []
    loss.register_forward_hook(lambda *_: called.append("after"))
    loss.register_forward_pre_hook(lambda *_: called.append("before"))
    everywhere = register_module_forward_hook(lambda *_: called.append("everywhere"))
    asked = AskedLoss(loss)
    try:
        asked.looks((torch.randn(33, 4, generator=G), CLASSES), {})
    finally:
        everywhere.remove()
    assert asked.constant is not None
    assert called == []


def test_settings_given_through_the_probe_count():
    asked = AskedLoss(F.cross_entropy)
    asked.looks((torch.zeros(33, 4), CLASSES), {"weight": OFTEN})
    assert asked.constant == constant_loss(F.cross_entropy, torch.zeros(33, 4), CLASSES, OFTEN)
    assert asked.constant != constant_loss(F.cross_entropy, torch.zeros(33, 4), CLASSES)
