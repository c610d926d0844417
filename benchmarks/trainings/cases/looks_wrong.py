"""Healthy trainings, most of which show what is a fault elsewhere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, healthy
from benchmarks.trainings.models import (
    Factors,
    Mean,
    autoencoder,
    cnn,
    deep,
    gained,
    mlp,
    rnn,
    transformer,
)

__all__: list[str] = []


@healthy("mlp")
def sparse_rectifiers() -> Training:
    """Nine of ten entries behind a wide ReLU are zero, none of its units always"""
    model = mlp(hidden=256)
    nn.init.constant_(model[0].bias, -0.8)
    return Training(model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 0.05))


class _Branch(nn.Module):
    """A residual branch whose last layer begins at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.b.weight)
        nn.init.zeros_(self.b.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(F.relu(self.a(x)))


@healthy("mlp")
def zero_residual_branches() -> Training:
    """The last layer of every residual branch begins at zero"""
    model = nn.Sequential(nn.Linear(10, 24), *[_Branch(24) for _ in range(4)], nn.Linear(24, 1))
    return Training(model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.003))


class _Adapted(nn.Module):
    """A frozen layer and a low-rank change of it that begins at zero."""

    def __init__(self, base: nn.Linear, rank: int = 2) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.up(self.down(x))


@healthy("mlp")
def low_rank_adaption() -> Training:
    """LoRA: B begins at zero, and the base is frozen"""
    base = mlp()
    model = nn.Sequential(_Adapted(base[0]), base[1], _Adapted(base[2]), base[3], base[4])
    return Training(
        model,
        *data.regression(),
        nn.MSELoss(),
        Adam([p for p in model.parameters() if p.requires_grad], 0.01),
    )


@healthy("cnn")
def frozen_backbone() -> Training:
    """All but the head asks for no gradient, its norms in eval mode"""
    model = cnn(norm=True)
    for module in model[:-1]:
        module.requires_grad_(False).eval()
    return Training(
        model, *data.digits(), nn.CrossEntropyLoss(), Adam(model[-1].parameters(), 0.02)
    )


@healthy("mlp")
def head_trained_alone() -> Training:
    """Only the head is in the optimiser"""
    model = mlp(hidden=64)
    return Training(model, *data.regression(), nn.MSELoss(), Adam(model[-1].parameters(), 0.02))


@healthy("embedding")
def rows_not_in_the_batch() -> Training:
    """Of 2000 embedded words a batch holds some hundred"""
    model = Mean(nn.Identity(), 2, 8, vocabulary=2000)
    x, _ = data.tokens(vocabulary=2000)
    y = (x < 1000).float().mean(1).gt(0.5).long()
    return Training(model, x, y, nn.CrossEntropyLoss(), Adam(model.parameters(), 0.05))


@healthy("embedding")
def sparse_embedding_gradients() -> Training:
    """Factors with sparse gradients"""
    model = Factors()
    for table in (model.users, model.items):
        table.sparse = True
    return Training(
        model,
        *data.ratings(),
        nn.MSELoss(),
        torch.optim.SparseAdam(list(model.parameters()), 0.05),
        steps=100,
    )


@healthy("transformer")
def long_warm_up() -> Training:
    """The rate grows from a ten-thousandth over 40 of 80 steps"""
    model = transformer()
    optimizer = AdamW(model.parameters(), 0.01)
    schedule = LambdaLR(optimizer, lambda step: max(1e-4, min(1.0, step / 40)))
    first = iter([lambda: None])
    return Training(
        model, *data.tokens(), nn.CrossEntropyLoss(), optimizer, steps=80,
        limit=lambda: next(first, schedule.step)(),
    )  # fmt: skip


@healthy("transformer")
def post_norm_transformer() -> Training:
    """Four post-norm layers, whose gradient is uneven over depth"""
    model = transformer(layers=4)
    return Training(model, *data.tokens(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.002))


@healthy("transformer")
def pre_norm_with_dropout() -> Training:
    """A pre-norm transformer with dropout"""
    model = transformer(norm_first=True, dropout=0.1)
    return Training(model, *data.tokens(), nn.CrossEntropyLoss(), AdamW(model.parameters(), 0.005))


@healthy("mlp")
def tiny_gradients_under_adam() -> Training:
    """The loss is multiplied by 1e-12, for which Adam makes up"""
    model = mlp()
    return Training(
        model, *data.regression(), lambda a, b: 1e-12 * F.mse_loss(a, b),
        Adam(model.parameters(), 0.01, eps=1e-30),
    )  # fmt: skip


@healthy("mlp")
def accumulation() -> Training:
    """Gradients of four batches a step"""
    model = mlp()
    return Training(
        model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 0.05), parts=4, batch=16
    )


@healthy("mlp")
def alternating_heads() -> Training:
    """Two heads are trained in turn by optimisers of their own"""
    body, heads = mlp()[:4], nn.ModuleList([nn.Linear(32, 1), nn.Linear(32, 1)])
    model = nn.ModuleList([body, heads])
    optimizer = SGD(model.parameters(), 0.05)
    turn = [0]

    def each(number: int) -> None:
        turn[0] = number % 2

    return Training(
        model, *data.regression(), nn.MSELoss(), optimizer, each=each, steps=80,
        forward=lambda x: heads[turn[0]](body(x)),
    )  # fmt: skip


@healthy("mlp")
def huge_targets() -> Training:
    """Targets of some ten thousand, as house prices are"""
    x, y = data.regression()
    model = mlp()
    return Training(model, x, 1e4 * y, nn.MSELoss(), Adam(model.parameters(), 0.3))


@healthy("mlp", learnable=False)
def noise() -> Training:
    """Targets that have nothing to do with the inputs, which are drawn anew in every step"""
    model = mlp()
    x, y = data.regression()
    return Training(
        model, x, torch.randn_like(y), nn.MSELoss(), SGD(model.parameters(), 0.01),
        forward=lambda x: model(torch.randn_like(x)),
    )  # fmt: skip


@healthy("mlp", learnable=False)
def labels_by_lot() -> Training:
    """Classes drawn by lot"""
    model = mlp(3)
    x, y = data.classes()
    return Training(
        model, x, y[torch.randperm(len(y))], nn.CrossEntropyLoss(), Adam(model.parameters(), 3e-4)
    )  # fmt: skip


@healthy("rnn")
def packed_sequences() -> Training:
    """An LSTM over packed sequences of many lengths"""
    cell, head = nn.LSTM(4, 24, batch_first=True), nn.Linear(24, 1)
    model = nn.ModuleList([cell, head])
    x, _ = data.sequences()
    lengths = 3 + torch.arange(len(x)) % 8
    inside = (torch.arange(x.shape[1])[None] < lengths[:, None]).float()
    x[:, :, 3] = inside

    def forward(x: Tensor) -> Tensor:
        packed = pack_padded_sequence(
            x, x[:, :, 3].sum(1).long(), batch_first=True, enforce_sorted=False
        )
        _, (state, _) = cell(packed)
        return head(state[-1])

    y = (x[:, :, :1] * inside[:, :, None]).sum(1) / 2
    return Training(model, x, y, nn.MSELoss(), Adam(model.parameters(), 0.02), forward=forward)


@healthy("mlp")
def saturated_gates() -> Training:
    """Sigmoid gates near 0 and 1, as a gate should be, beside a path that learns"""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value, self.gate, self.sigmoid = nn.Linear(10, 32), nn.Linear(10, 32), nn.Sigmoid()
            self.head = nn.Linear(32, 1)
            nn.init.normal_(self.gate.weight, std=3.0)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.value(x) * self.sigmoid(self.gate(x)))

    model = Gated()
    return Training(model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.01))


@healthy("cnn")
def large_steps_with_norm() -> Training:
    """Batch norm lets weights change fast, which harms nobody"""
    model = cnn(norm=True)
    return Training(model, *data.digits(), nn.CrossEntropyLoss(), SGD(model.parameters(), 0.3))


@healthy("mlp")
def small_batches() -> Training:
    """Batches of four samples: a loss as noisy as it falls"""
    model = mlp(3)
    return Training(
        model,
        *data.classes(),
        nn.CrossEntropyLoss(),
        SGD(model.parameters(), 0.05),
        batch=4,
        steps=150,
    )


@healthy("mlp")
def clipped_as_it_should_be() -> Training:
    """Gradients clipped to 1 in every step of a steep beginning"""
    x, y = data.regression()
    model = mlp()
    return Training(
        model, x, 5 * y, nn.MSELoss(), SGD(model.parameters(), 0.1),
        limit=lambda: nn.utils.clip_grad_norm_(model.parameters(), 1.0),
    )  # fmt: skip


@healthy("autoencoder")
def one_unit_for_all() -> Training:
    """A bottleneck of one unit"""
    x, y = data.low_rank(rank=1)
    model = autoencoder(code=1)
    return Training(model, x, y, nn.MSELoss(), Adam(model.parameters(), 0.005), steps=100)


@healthy("mlp")
def rare_class() -> Training:
    """One sample of twelve is of the class that is asked for"""
    x, _ = data.classes()
    y = (x[:, :1] > 1.4).float()
    model = mlp()
    return Training(model, x, y, nn.BCEWithLogitsLoss(), Adam(model.parameters(), 0.01))


@healthy("mlp")
def pixels_of_0_to_1() -> Training:
    """Inputs that are not standardised, but small"""
    x, y = data.digits()
    model = mlp(10, features=64)
    return Training(
        model,
        (x - x.min()).flatten(1) / 5,
        y,
        nn.CrossEntropyLoss(),
        Adam(model.parameters(), 0.005),
    )


@healthy("mlp")
def deep_tanh_at_the_edge() -> Training:
    """Twelve tanh layers drawn at the edge of chaos"""
    model = gained(deep(12, act=nn.Tanh), 1.1)
    return Training(model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.002))


@healthy("mlp")
def heavy_dropout() -> Training:
    """Half of the units are dropped"""
    inner = mlp(3, hidden=128)
    model = nn.Sequential(
        inner[0], inner[1], nn.Dropout(0.5), inner[2], inner[3], nn.Dropout(0.5), inner[4]
    )
    return Training(model, *data.classes(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.005))


@healthy("mlp")
def two_losses_take_turns() -> Training:
    """A discriminator-like pair: two optimisers, each zeroes its own"""
    model = mlp()
    body, head = Adam(model[:4].parameters(), 0.005), Adam(model[4].parameters(), 0.005)
    return Training(model, *data.regression(), nn.MSELoss(), [body, head])


@healthy("rnn")
def tiny_recurrent_net() -> Training:
    """A GRU of four units with batches of eight"""
    model = rnn(nn.GRU, hidden=4)
    return Training(
        model, *data.sequences(), nn.MSELoss(), Adam(model.parameters(), 0.03), batch=8, steps=120
    )


@healthy("mlp")
def in_bfloat16_with_large_steps() -> Training:
    """Weights in bfloat16 at a rate for which they are fine enough"""
    model = mlp().bfloat16()
    return Training(
        model, *data.regression(), lambda a, b: F.mse_loss(a.float(), b),
        SGD(model.parameters(), 0.1),
        forward=lambda x: model(x.bfloat16()),
    )  # fmt: skip


@healthy("mlp")
def policy_of_rewards() -> Training:
    """REINFORCE: a loss about zero that goes nowhere while the policy learns"""
    model = mlp(3)

    def surrogate(logits: Tensor, best: Tensor) -> Tensor:
        policy = torch.distributions.Categorical(logits=logits)
        action = policy.sample()
        reward = (action == best).float()
        return -(policy.log_prob(action) * (reward - reward.mean())).mean()

    return Training(
        model, *data.classes(), surrogate, Adam(model.parameters(), 0.01),
        measure=F.cross_entropy, steps=120,
    )  # fmt: skip


@healthy("mlp")
def likelihood_of_a_small_spread() -> Training:
    """A mean and a variance, whose likelihood has a negative logarithm below zero"""
    x, y = data.regression()
    model = mlp(2)

    def surprise(out: Tensor, target: Tensor) -> Tensor:
        return F.gaussian_nll_loss(out[:, :1], target, F.softplus(out[:, 1:]) + 1e-4)

    return Training(model, x, 0.05 * y, surprise, Adam(model.parameters(), 0.005), steps=120)
