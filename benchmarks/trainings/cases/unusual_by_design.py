"""Healthy trainings whose network or loss is unusual on purpose."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, healthy
from benchmarks.trainings.models import Mean, mlp

__all__: list[str] = []


@healthy("cnn")
def one_image_a_step() -> Training:
    """Batches of one image, with group norm"""
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip
    return Training(
        model, *data.digits(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.003),
        steps=300, batch=1,
    )  # fmt: skip


@healthy("mlp")
def margin_that_is_kept_by_all() -> Training:
    """A hinge loss that comes to exactly zero within some steps"""
    model = mlp(hidden=64)
    x = torch.randn(256, 10)
    y = torch.sign(x[:, :1])
    x[:, :1] += y
    return Training(
        model, x, y, lambda output, target: F.relu(1 - output * target).mean(),
        Adam(model.parameters(), 0.01), steps=200,
    )  # fmt: skip


@healthy("mlp")
def contrastive_pairs() -> Training:
    """Each sample is told from the others of its batch, which are its classes"""
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 16))
    x, _ = data.classes()

    def forward(batch: Tensor) -> Tensor:
        one, other = (F.normalize(model(batch + 0.1 * torch.randn_like(batch))) for _ in range(2))
        return one @ other.T / 0.1

    def loss(similar: Tensor, _: Tensor) -> Tensor:
        return F.cross_entropy(similar, torch.arange(len(similar)))

    return Training(
        model, x, x.clone(), loss, Adam(model.parameters(), 0.005), steps=120, forward=forward
    )


class _Language(nn.Module):
    """Predicts the next token; the output's weights are those of the embedding."""

    def __init__(self, vocabulary: int = 20, width: int = 24) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.cell = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, vocabulary, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.cell(self.embedding(x))[0]).transpose(1, 2)


@healthy("rnn")
def next_token_with_tied_weights() -> Training:
    """A language model whose output shares the embedding; padding is left out of the loss"""
    model = _Language()
    text = (torch.randint(20, (256, 1)) + 3 * torch.arange(13)) % 20
    y = text[:, 1:].clone()
    y[:, -3:] = -100
    return Training(
        model, text[:, :-1].contiguous(), y, nn.CrossEntropyLoss(),
        Adam(model.parameters(), 0.01), steps=100,
    )  # fmt: skip


class _Rounded(nn.Module):
    """Rounds to quarters; the gradient goes through as if it did not."""

    def forward(self, x: Tensor) -> Tensor:
        return x + (torch.round(x * 4) / 4 - x).detach()


@healthy("mlp")
def straight_through() -> Training:
    """A detach in the middle is how a rounded code learns"""
    model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), _Rounded(), nn.Linear(32, 1))
    return Training(
        model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.01), steps=150
    )


@healthy("mlp")
def log_softmax_before_cross_entropy() -> Training:
    """log_softmax taken twice is what it is once"""
    model = nn.Sequential(mlp(3), nn.LogSoftmax(1))
    return Training(
        model, *data.classes(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.01), steps=120
    )


class _Experts(nn.Module):
    """Each sample goes to the expert that a gate chooses; never to the last one."""

    def __init__(self, many: int = 6) -> None:
        super().__init__()
        self.gate = nn.Linear(10, many)
        self.experts = nn.ModuleList(mlp(hidden=16) for _ in range(many))
        with torch.no_grad():
            self.gate.bias[-1] = -50.0

    def forward(self, x: Tensor) -> Tensor:
        chances = self.gate(x).softmax(1)
        best, out = chances.argmax(1), torch.zeros(len(x), 1)
        for number, expert in enumerate(self.experts):
            rows = best == number
            if rows.any():
                out[rows] = chances[rows, number, None] * expert(x[rows])
        return out


@healthy("mlp")
def expert_that_nobody_asks() -> Training:
    """A mixture of experts, one of which the gate never chooses"""
    model = _Experts()
    return Training(
        model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.01), steps=100
    )


class _Mask(nn.Module):
    """Minus infinity where a position may not look."""

    def __init__(self, length: int = 10) -> None:
        super().__init__()
        self.register_buffer("later", torch.ones(length, length).triu(1).bool())

    def forward(self, scores: Tensor) -> Tensor:
        return scores.masked_fill(self.later, float("-inf"))


class _Causal(nn.Module):
    """Attention of one head to what came before, made of modules."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.mask, self.softmax, self.norm = _Mask(), nn.Softmax(-1), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.q(x) @ self.k(x).transpose(1, 2) / 4
        return self.norm(x + self.softmax(self.mask(scores)) @ self.v(x))


@healthy("transformer")
def mask_of_minus_infinities() -> Training:
    """A module of its own puts minus infinity where attention may not look"""
    model = Mean(nn.Sequential(_Causal(), _Causal()), 2, 16)
    return Training(
        model, *data.tokens(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.005), steps=100
    )


@healthy("cnn")
def backbone_kept_without_a_gradient() -> Training:
    """A backbone with norms in eval mode, run without a gradient; the optimiser has the head"""
    backbone = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    )
    head, (x, y) = nn.Linear(256, 10), data.digits()
    with torch.no_grad():
        backbone(x)  # so that its norms know the data
    backbone.eval()

    def forward(batch: Tensor) -> Tensor:
        with torch.no_grad():
            features = backbone(batch)
        return head(features)

    return Training(
        nn.Sequential(backbone, head), x, y, nn.CrossEntropyLoss(), Adam(head.parameters(), 0.005),
        forward=forward, steps=80,
    )  # fmt: skip


@healthy("mlp")
def squares_of_probabilities() -> Training:
    """Brier's score: the mean square of what softmax gives, less one-hot labels"""
    model, (x, y) = nn.Sequential(mlp(3), nn.Softmax(1)), data.classes()
    return Training(
        model, x, F.one_hot(y, 3).float(), nn.MSELoss(), Adam(model.parameters(), 0.01), steps=100
    )


class _Scores(nn.Module):
    """Of each sample with some answers, the right one first."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.answers = nn.Linear(10, 16), nn.Linear(10, 16)

    def forward(self, x: Tensor) -> Tensor:
        others = torch.stack([x, *(x.roll(shift, 0) for shift in range(1, 8))], 1)
        scores = (self.asked(x)[:, None] * self.answers(others)).sum(2)  # (batch, 8)
        return scores / 4


@healthy("mlp")
def the_right_answer_first() -> Training:
    """Each sample's own answer among others: the label is 0 everywhere"""
    model, (x, _) = _Scores(), data.classes()
    y = torch.zeros(len(x), dtype=torch.long)
    return Training(model, x, y, nn.CrossEntropyLoss(), Adam(model.parameters(), 0.01), steps=150)


@healthy("mlp")
def pairs_and_drawn_ones() -> Training:
    """A pair beside seven drawn ones: the target is one row for all samples"""
    model, (x, _) = _Scores(), data.classes()
    y = torch.zeros(len(x), 8)
    y[:, 0] = 1
    return Training(model, x, y, nn.BCEWithLogitsLoss(), Adam(model.parameters(), 0.01), steps=150)


@healthy("cnn")
def norms_kept_as_they_are() -> Training:
    """Batch norms alone are in eval mode, and all is trained"""
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip
    model[1].eval()
    return Training(
        model, *data.digits(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.003), steps=100
    )
