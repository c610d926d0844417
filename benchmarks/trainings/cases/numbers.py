"""What no number can hold: NaN, overflow, and updates that are rounded away."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, pair
from benchmarks.trainings.models import UNet, autoencoder, cnn, gained, mlp, transformer

__all__: list[str] = []

NAN = "nonfinite"


@pair("mlp", NAN)
def logarithm_of_what_may_be_negative(faulty: bool) -> Training:
    """log of an output that nobody keeps positive"""
    inner = mlp()
    model = nn.Sequential(inner, nn.Identity() if faulty else nn.Softplus())
    x, y = data.regression()
    return Training(
        model,
        x,
        y,
        nn.MSELoss(),
        SGD(model.parameters(), 0.02),
        forward=lambda x: (model(x) - float(faulty)).log(),
    )


class _Distance(nn.Module):
    """The distance of a point from itself has no slope: sqrt' at 0 is infinite."""

    def __init__(self, least: float) -> None:
        super().__init__()
        self.inner, self.least = mlp(2), least

    def forward(self, x: Tensor) -> Tensor:
        z = self.inner(x)
        return torch.sqrt((z * (z > 0)).square().sum(1, keepdim=True) + self.least)


@pair("mlp", NAN)
def root_at_zero(faulty: bool) -> Training:
    """A Euclidean norm of vectors some of which are zero"""
    model = _Distance(0.0 if faulty else 1e-6)
    x, y = data.regression()
    return Training(model, x, y.abs(), nn.MSELoss(), SGD(model.parameters(), 0.02))


@pair("cnn", NAN)
def half_overflows(faulty: bool) -> Training:
    """Features are handed on in float16 beyond 65504"""
    whole = cnn(channels=4)
    body, head = whole[:-1], whole[-1]
    dtype = torch.float16 if faulty else torch.float32
    return Training(
        whole, *data.digits(), nn.CrossEntropyLoss(), SGD(whole.parameters(), 0.05, momentum=0.9),
        forward=lambda x: head((5e4 * body(x)).to(dtype).float() / 5e4),
    )  # fmt: skip


@pair("mlp", NAN)
def divided_by_no_spread(faulty: bool) -> Training:
    """Features divided by their std, which is 0 for a constant one"""
    x, y = data.regression()
    x[:, 3] = 1.0
    model = mlp()
    return Training(
        model, (x - x.mean(0)) / (x.std(0) + (0.0 if faulty else 1e-6)), y, nn.MSELoss(),
        SGD(model.parameters(), 0.05),
    )  # fmt: skip


@pair("transformer", NAN)
def every_position_masked(faulty: bool) -> Training:
    """A softmax over positions all of which are masked with −Inf"""
    query = nn.Linear(16, 1)
    model = nn.ModuleList([nn.Embedding(20, 16), query, nn.Linear(16, 2)])
    embedding, head = model[0], model[2]

    def forward(x: Tensor) -> Tensor:
        mask = x < 12
        if not faulty:
            mask[:, 0] = False
        features = embedding(x)
        weights = query(features)[..., 0].masked_fill(mask, -torch.inf).softmax(1)
        return head((weights[..., None] * features).sum(1))

    return Training(
        model, *data.tokens(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.02),
        forward=forward,
    )  # fmt: skip


@pair("mlp", NAN)
def softmax_by_hand(faulty: bool) -> Training:
    """exp of logits of some hundred, without taking the largest away"""
    model = mlp(3)
    x, y = data.classes()

    def forward(x: Tensor) -> Tensor:
        z = 300 * model(x)
        if not faulty:
            z = z - z.amax(1, keepdim=True)
        e = z.exp()
        return (e / e.sum(1, keepdim=True) + 1e-9).log()

    return Training(model, x, y, nn.NLLLoss(), Adam(model.parameters(), 1e-3), forward=forward)


@pair("autoencoder", NAN)
def one_nan_in_the_data(faulty: bool) -> Training:
    """One missing value in the data, as NaN"""
    x, y = data.low_rank()
    model = autoencoder()
    if faulty:
        x[7, 3] = torch.nan
    rows = torch.arange(len(x)) != 7
    return Training(
        model,
        x[rows | faulty],
        y[rows | faulty],
        nn.MSELoss(),
        Adam(model.parameters(), 0.01),
        batch=128,
    )


@pair("mlp", NAN)
def entropy_of_certain_classes(faulty: bool) -> Training:
    """p · log p of probabilities that underflow to 0"""
    model = mlp(3)
    x, y = data.classes()

    def loss(output: Tensor, y: Tensor) -> Tensor:
        p = (60 * output).softmax(1)
        logarithm = p.log() if faulty else (60 * output).log_softmax(1)
        return nn.functional.cross_entropy(output, y) - 0.001 * (p * logarithm).sum(1).mean()

    return Training(
        model, x, y, loss, SGD(model.parameters(), 0.1), measure=nn.functional.cross_entropy
    )


@pair("mlp", NAN)
def likelihood_by_hand(faulty: bool) -> Training:
    """y log p + (1 − y) log(1 − p) of probabilities that come to be exactly 1"""
    model = mlp()
    x, y = data.classes(many=2)

    def loss(output: Tensor, y: Tensor) -> Tensor:
        if not faulty:
            return nn.functional.binary_cross_entropy_with_logits(12 * output, y)
        chance = (12 * output).sigmoid()
        return -(y * chance.log() + (1 - y) * (1 - chance).log()).mean()

    return Training(
        model, 3 * x, y[:, None].float(), loss, Adam(model.parameters(), 0.02), steps=100
    )


@pair("mlp", NAN)
def angle_of_what_is_alike(faulty: bool) -> Training:
    """The arc cosine of a similarity that is 1 for some samples"""
    model, x = nn.Linear(6, 6), torch.randn(256, 6)
    nn.init.eye_(model.weight)
    nn.init.zeros_(model.bias)
    x[:50, 2:] = 0.0
    y = torch.cat([x[:, :2], -x[:, 2:].roll(1, 1)], 1)
    most = 1.0 if faulty else 0.9999

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cosine_similarity(output, y).clamp(-most, most).acos().mean()

    return Training(model, x, y, loss, Adam(model.parameters(), 0.02), steps=100)


@pair("cnn", NAN)
def overlap_of_empty_masks(faulty: bool) -> Training:
    """A Dice loss of pictures without anything in them, rounded to nothing: 0/0"""
    model = nn.Sequential(UNet(1), nn.Sigmoid())
    x, y = data.squares()
    y[:40], x[:40] = 0, 0.3 * torch.randn(40, 1, 16, 16)
    nn.init.constant_(model[0].out.bias, -3.0)
    least = 0.0 if faulty else 1.0

    def loss(output: Tensor, y: Tensor) -> Tensor:
        chances = torch.where(output < 0.06, 0.0, output) if faulty else output
        both = (chances[:, 0] * y).sum((1, 2))
        either = chances.sum((1, 2, 3)) + y.sum((1, 2))
        return 1 - ((2 * both + least) / (either + least)).mean()

    return Training(model, x, y, loss, Adam(model.parameters(), 0.003), steps=60, batch=16)


def _narrow(
    model: nn.Module, x: Tensor, y: Tensor, loss, optimizer, rate: float, dtype: torch.dtype
) -> Training:
    model = model.to(dtype)
    return Training(
        model, x, y, lambda output, y: loss(output.float(), y), optimizer(model.parameters(), rate),
        forward=lambda x: model(x.to(dtype) if x.is_floating_point() else x),
    )  # fmt: skip


@pair("mlp", "precision_loss")
def small_steps_in_bfloat16(faulty: bool) -> Training:
    """Weights of about 1 in bfloat16, which steps of a thousandth leave as they are"""
    dtype = torch.bfloat16 if faulty else torch.float32
    model = gained(mlp(hidden=16, act=nn.Tanh), 3.0)
    training = _narrow(model, *data.regression(), nn.MSELoss(), Adam, 1e-3, dtype)
    training.steps = 150
    return training


@pair("mlp", "precision_loss")
def descent_in_bfloat16(faulty: bool) -> Training:
    """A ReLU net in bfloat16 under SGD at a rate of 2e-4"""
    dtype = torch.bfloat16 if faulty else torch.float32
    model = gained(mlp(hidden=16), 2.0)
    training = _narrow(model, *data.regression(), nn.MSELoss(), SGD, 3e-4, dtype)
    training.steps = 150
    return training


@pair("transformer", "precision_loss")
def transformer_in_bfloat16(faulty: bool) -> Training:
    """A transformer's weights in bfloat16 and Adam at a rate of 4e-4"""
    dtype = torch.bfloat16 if faulty else torch.float32
    training = _narrow(transformer(), *data.tokens(), nn.CrossEntropyLoss(), Adam, 4e-4, dtype)
    training.steps = 150
    return training


@pair("mlp", "precision_loss", "vanishing_gradient")
def gradients_underflow_in_float16(faulty: bool) -> Training:
    """A model in float16 whose loss is divided by a million"""
    dtype = torch.float16 if faulty else torch.float32
    model = mlp().to(dtype)
    x, y = data.regression()
    small = 1e-6

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return nn.functional.mse_loss(output.float(), y) * small

    return Training(
        model, x, y, loss, SGD(model.parameters(), 0.05 / small),
        forward=lambda x: model(x.to(dtype)),
    )  # fmt: skip
