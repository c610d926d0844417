"""Losses whose arguments, factors or signs are other ones than they are made for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, healthy, pair
from benchmarks.trainings.models import cnn, mlp

__all__: list[str] = []


def _found_again(output: Tensor, _: Tensor) -> Tensor:
    """The share of samples whose other view is not the nearest one."""
    one, other = F.normalize(output.detach(), dim=-1).chunk(2, 1)
    return ((one @ other.T).argmax(1) != torch.arange(len(one))).float().mean()


@pair("mlp", "wrong_loss")
def cosines_times_the_temperature(faulty: bool) -> Training:
    """Cosines of two views are multiplied by the temperature, not divided by it"""
    model = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 12))
    x = torch.randn(256, 20)

    def loss(output: Tensor, _: Tensor) -> Tensor:
        one, other = (F.normalize(each, dim=1) for each in output.chunk(2, 1))
        cosines = one @ other.T
        return F.cross_entropy(cosines * 0.07 if faulty else cosines / 0.07, torch.arange(len(one)))

    def both(x: Tensor) -> Tensor:
        return torch.cat([model(x + 0.5 * torch.randn_like(x)) for _ in range(2)], 1)

    return Training(
        model, x, x, loss, Adam(model.parameters(), 0.003), steps=150, forward=both, heard=False,
        measure=_found_again,
    )  # fmt: skip


@pair("mlp", "wrong_loss")
def softmax_for_several_labels(faulty: bool) -> Training:
    """A softmax, and binary cross entropy of labels that a sample may have several of"""
    x = torch.randn(512, 12)
    y = (x @ torch.randn(12, 6) > 0).float()
    model = nn.Sequential(mlp(6, features=12), nn.Softmax(1) if faulty else nn.Sigmoid())
    return Training(model, x, y, nn.BCELoss(), Adam(model.parameters(), 0.005), steps=150)


@pair("mlp", "wrong_loss")
def divergence_without_a_logarithm(faulty: bool) -> Training:
    """A loss of one's own calls kl_div with a student's probabilities"""
    teacher, x = mlp(5), torch.randn(256, 10)
    with torch.no_grad():
        y = (8 * teacher(x)).softmax(1)
    model = mlp(5)

    def apart(output: Tensor, y: Tensor) -> Tensor:
        return F.kl_div(output.log_softmax(1), y, reduction="batchmean")

    def loss(output: Tensor, y: Tensor) -> Tensor:
        if faulty:
            return F.kl_div(output.softmax(1), y, reduction="batchmean")
        return apart(output, y)

    return Training(
        model, x, y, loss, Adam(model.parameters(), 0.01), steps=300, heard=False, measure=apart
    )


@pair("cnn", "wrong_loss")
def masks_of_255(faulty: bool) -> Training:
    """Masks as they are in images, 0 and 255, are held against logits"""
    x, y = data.squares()
    model = nn.Sequential(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 1, 5, padding=2))
    y = y[:, None].float()

    def apart(output: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(output, y.clamp_max(1))

    return Training(
        model, x, y * 255 if faulty else y, F.binary_cross_entropy_with_logits,
        Adam(model.parameters(), 0.005), steps=80, batch=16, heard=False, measure=apart,
    )  # fmt: skip


def _turned(faulty: bool, model: nn.Module, x: Tensor, y: Tensor) -> Training:
    def alike(output: Tensor, y: Tensor) -> Tensor:
        return F.cosine_similarity(output, y).mean()

    return Training(
        model, x, y, alike if faulty else lambda output, y: -alike(output, y),
        Adam(model.parameters(), 0.003), steps=150, measure=lambda a, b: 1 - alike(a, b),
    )  # fmt: skip


@pair("mlp", "wrong_loss")
def similarity_made_small(faulty: bool) -> Training:
    """The cosine of output and target is the loss, and not its negative"""
    x = torch.randn(256, 10)
    return _turned(faulty, mlp(8), x, torch.tanh(x @ torch.randn(10, 8)))


@pair("cnn", "wrong_loss")
def similarity_made_small_of_images(faulty: bool) -> Training:
    """A CNN whose outputs are to be like embeddings of the classes, by a loss of the other sign"""
    x, y = data.digits()
    return _turned(faulty, cnn(16), x, torch.randn(10, 16)[y])


@healthy("mlp")
def score_of_noise() -> Training:
    """A score, which is to be the negative of the noise that was added"""
    model = mlp(6, features=6)
    clean = torch.randn(256, 6) @ torch.randn(6, 6) / 6
    noise = torch.randn(256, 6)

    def apart(score: Tensor, noise: Tensor) -> Tensor:
        return (0.5 * score + noise).square().mean()

    return Training(
        model, clean + 0.5 * noise, noise, apart, Adam(model.parameters(), 0.01), steps=150
    )


@healthy("mlp")
def one_label_of_a_softmax() -> Training:
    """Binary cross entropy of a softmax, where a sample has one label"""
    x, y = data.classes(many=4)
    model = nn.Sequential(mlp(4), nn.Softmax(1))
    return Training(
        model, x, F.one_hot(y, 4).float(), nn.BCELoss(), Adam(model.parameters(), 0.005), steps=120
    )


@healthy("mlp")
def rewards_less_a_constant() -> Training:
    """What is expected of chances of actions, less what was expected before: it may be below 0"""
    x = torch.randn(256, 10)
    rewards = (x @ torch.randn(10, 4)).softmax(1) * 4
    model = mlp(4)

    def missed(output: Tensor, rewards: Tensor) -> Tensor:
        return (1.0 - output.softmax(1) * rewards).mean()

    return Training(
        model, x, rewards, missed, Adam(model.parameters(), 0.01), steps=150, heard=False,
        measure=lambda a, r: 3 - (a.softmax(1) * r).sum(1).mean(),
    )  # fmt: skip
