"""What autograd's graph of a loss tells of what it was given, also after the backward pass."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layerscope.engine.probe.graph.loss import made_of, uniform_answer
from tests.faults import Copied

N, CLASSES = 16, 5


@pytest.fixture
def logits() -> Tensor:
    torch.manual_seed(0)
    return nn.Linear(4, CLASSES)(torch.randn(N, 4))


@pytest.fixture
def column() -> Tensor:
    torch.manual_seed(0)
    return nn.Linear(4, 1)(torch.randn(N, 4))


LABELS = torch.arange(N) % CLASSES
CHANCES = torch.rand(N, CLASSES)


@pytest.mark.parametrize("name", ["softmax", "sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("module", [False, True])
def test_what_made_the_logits_is_known_after_the_backward_pass(logits, name, module):
    loss = (nn.CrossEntropyLoss() if module else F.cross_entropy)(
        logits.softmax(1) if name == "softmax" else getattr(torch, name)(logits), LABELS
    )
    loss.backward()
    made = made_of(loss)
    assert made is not None
    assert (made.loss, made.given, made.output) == ("cross_entropy", name, (N, CLASSES))


def test_a_likelihood_is_told_from_a_cross_entropy(logits):
    def given(output: Tensor) -> Any:
        made = made_of(F.nll_loss(output, LABELS))
        return made and (made.loss, made.given)

    assert given(logits) == ("nll_loss", "linear")
    assert given(logits.softmax(1)) == ("nll_loss", "softmax")
    assert given(logits.softmax(1).log()) == ("nll_loss", "log")
    assert given(logits.log_softmax(1)) == ("cross_entropy", "linear")


def test_shapes_may_have_changed_on_the_way(logits):
    sequence = logits.view(2, 8, CLASSES).softmax(2)
    labels = LABELS.view(2, 8)
    for loss in (
        F.cross_entropy(sequence.transpose(1, 2), labels),
        F.cross_entropy(sequence.reshape(-1, CLASSES), labels.flatten()),
    ):
        assert made_of(loss).given == "softmax"


def test_a_loss_is_found_among_others_terms(logits):
    penalty = logits.pow(2).mean()
    loss = 0.1 * penalty + F.binary_cross_entropy_with_logits(logits.sigmoid(), CHANCES) / 4
    made = made_of(loss)
    assert (made.loss, made.given) == ("binary_cross_entropy_with_logits", "sigmoid")
    assert uniform_answer(made) is None


def test_equal_chances_are_told_of_a_mean_alone(logits):
    flat = torch.zeros(N, CLASSES) + 0 * logits
    mean = F.cross_entropy(flat, LABELS)
    assert uniform_answer(made_of(mean)) == pytest.approx(mean.item())
    assert uniform_answer(made_of(mean)) == math.log(CLASSES)
    for other in (
        F.cross_entropy(flat, LABELS, reduction="sum"), mean / 2, mean + 1,
        F.cross_entropy(flat, LABELS, label_smoothing=0.1), F.mse_loss(flat, CHANCES),
    ):  # fmt: skip
        assert uniform_answer(made_of(other)) is None


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(
    "loss",
    [
        F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss,
        lambda a, b: (a - b).pow(2).mean(), lambda a, b: ((b - a) ** 2).sum() / N,
        lambda a, b: (a - b).abs().mean().sqrt(),
        lambda a, b: torch.where((d := (a - b).abs()) < 1, d * d / 2, d - 0.5).mean(),
        lambda a, b: ((d := a - b).abs().clamp(max=1) * d.abs()).mean(),
        lambda a, b: (d := a - b).exp().log1p().mean() + F.softplus(-d).mean(),
    ],
)  # fmt: skip
def test_a_column_held_against_a_row(column, loss):
    target = torch.randn(N)
    wrong = loss(column, target)
    wrong.backward(retain_graph=True)
    assert made_of(wrong).stretched == (N, N)
    wrong = loss(column.squeeze(1), target[:, None])
    assert made_of(wrong).stretched == (N, N)
    for right in (loss(column, target[:, None]), loss(column[:, 0], target)):
        made = made_of(right)
        assert made is None or made.stretched is None


def test_who_compares_each_with_each_on_purpose_is_left_alone(column):
    target = torch.randn(N)
    flat = column[:, 0]
    for meant in (
        (flat[:, None] - target).abs().mean(),
        (column - column.T).pow(2).mean(),
        torch.cdist(column, target[:, None]).mean(),
        (column.view(N, 1) - target).pow(2).mean(),
    ):
        made = made_of(meant)
        assert made is None or made.stretched is None


def test_what_tells_nothing():
    assert made_of(None) is None
    assert made_of(1.5) is None
    assert made_of(torch.tensor(1.0)) is None
    leaf = torch.zeros(3, requires_grad=True)
    assert made_of(leaf.sum()) is None


def test_an_operation_of_somebodys_own_is_no_obstacle(logits):
    made = made_of(F.cross_entropy(Copied.apply(logits.softmax(1)), LABELS))
    assert (made.loss, made.given) == ("cross_entropy", "")
    assert made_of(Copied.apply(logits).sum()) is None


@pytest.mark.parametrize("reduction", ["batchmean", "sum"])
def test_a_divergence_is_known_by_what_it_was_given(logits, reduction):
    def given(output: Tensor) -> Any:
        made = made_of(F.kl_div(output, CHANCES.softmax(1), reduction=reduction))
        return made and (made.loss, made.given)

    assert given(logits.softmax(1)) == ("kl_div", "softmax")
    assert given(logits.log_softmax(1)) is None


def test_cosines_are_told_from_such_that_a_number_multiplies():
    layer = nn.Linear(4, CLASSES)
    ends = F.normalize(layer(torch.randn(N, 4)), dim=1)
    for factor, name in ((None, "cosine"), (0.07, "scaled cosine")):
        cosines = ends @ ends.T
        made = made_of(
            F.cross_entropy(cosines if factor is None else cosines * factor, torch.arange(N))
        )
        assert made is not None
        assert made.given == name
    scale = nn.Parameter(torch.ones(()))
    made = made_of(F.cross_entropy(ends @ ends.T * scale.exp(), torch.arange(N)))
    assert made is None or "cosine" not in made.given
