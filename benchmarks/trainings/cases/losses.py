"""Losses that are given something else than they expect, and outputs that say nothing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, pair
from benchmarks.trainings.models import Encoder, autoencoder, cnn, mlp, rnn, transformer

__all__: list[str] = []


def _of_probabilities(output: Tensor, y: Tensor) -> Tensor:
    """Cross entropy of the probabilities that a model ends with."""
    return F.nll_loss(output.clamp_min(1e-12).log(), y)


def _softmax_before(model: nn.Module, x: Tensor, y: Tensor, rate: float, faulty: bool) -> Training:
    whole = nn.Sequential(model, nn.Softmax(1)) if faulty else model
    return Training(
        whole, x, y, nn.CrossEntropyLoss(), Adam(model.parameters(), rate), steps=80,
        measure=_of_probabilities if faulty else None,
    )  # fmt: skip


@pair("mlp", "wrong_loss")
def softmax_before_cross_entropy(faulty: bool) -> Training:
    """A softmax at the end of an MLP, and cross entropy"""
    return _softmax_before(mlp(3), *data.classes(), 0.01, faulty)


@pair("cnn", "wrong_loss")
def softmax_before_cross_entropy_cnn(faulty: bool) -> Training:
    """A softmax at the end of a CNN, and cross entropy"""
    return _softmax_before(cnn(), *data.digits(), 0.003, faulty)


@pair("transformer", "wrong_loss")
def softmax_before_cross_entropy_transformer(faulty: bool) -> Training:
    """A softmax at the end of a transformer, and cross entropy"""
    return _softmax_before(transformer(), *data.tokens(), 0.003, faulty)


@pair("mlp", "wrong_loss")
def negative_likelihood_of_logits(faulty: bool) -> Training:
    """nll_loss is given logits"""
    model = mlp(3)
    return Training(
        model, *data.classes(), F.nll_loss if faulty else F.cross_entropy,
        SGD(model.parameters(), 0.1), measure=F.cross_entropy,
    )  # fmt: skip


@pair("rnn", "wrong_loss")
def negative_likelihood_of_probabilities(faulty: bool) -> Training:
    """nll_loss is given probabilities, whose logarithm was forgotten"""
    x, y = data.sequences()
    inner = rnn(outputs=2)
    model = nn.Sequential(inner, nn.Softmax(1) if faulty else nn.LogSoftmax(1))
    return Training(
        model, x, (y[:, 0] > 0).long(), nn.NLLLoss(), Adam(model.parameters(), 0.01),
        measure=_of_probabilities if faulty else None,
    )  # fmt: skip


@pair("mlp", "wrong_loss")
def sigmoid_before_logits_loss(faulty: bool) -> Training:
    """A sigmoid at the end, and binary cross entropy with logits"""
    x, y = data.classes(many=2)
    inner = mlp()
    model = nn.Sequential(inner, nn.Sigmoid()) if faulty else inner
    return Training(
        model, x, y[:, None].float(), nn.BCEWithLogitsLoss(), Adam(model.parameters(), 0.01),
        measure=F.binary_cross_entropy if faulty else None,
    )  # fmt: skip


@pair("mlp", "wrong_loss")
def target_broadcasts(faulty: bool) -> Training:
    """A target of shape (N,) against an output of (N, 1)"""
    x, y = data.regression()
    model = mlp()
    return Training(
        model, x, y[:, 0] if faulty else y, nn.MSELoss(), SGD(model.parameters(), 0.05),
        measure=_alike(F.mse_loss),
    )  # fmt: skip


@pair("rnn", "wrong_loss")
def target_broadcasts_rnn(faulty: bool) -> Training:
    """An LSTM's output (N, 1) against a target of (N,), with a Huber loss"""
    x, y = data.sequences()
    model = rnn()
    return Training(
        model, x, y[:, 0] if faulty else y, nn.SmoothL1Loss(), Adam(model.parameters(), 0.01),
        measure=_alike(F.smooth_l1_loss),
    )  # fmt: skip


@pair("mlp", "wrong_loss")
def output_squeezed_against_a_column(faulty: bool) -> Training:
    """An output of (N,) against a target of (N, 1)"""
    x, y = data.regression()
    model = mlp()
    return Training(
        model, x, y, nn.L1Loss(), Adam(model.parameters(), 0.01),
        forward=lambda x: model(x)[:, 0] if faulty else model(x), measure=_alike(F.l1_loss),
    )  # fmt: skip


@pair("mlp", "softmax_axis", "constant_output", "wrong_loss")
def softmax_of_one_class(faulty: bool) -> Training:
    """A softmax over a single output, which is 1 whatever goes in"""
    x, y = data.classes(many=2)
    inner = mlp()
    model = nn.Sequential(inner, nn.Softmax(1) if faulty else nn.Sigmoid())
    return Training(model, x, y[:, None].float(), nn.BCELoss(), Adam(model.parameters(), 0.01))


@pair("mlp", "constant_output", "dead_units")
def last_rectifier_is_dead(faulty: bool) -> Training:
    """A ReLU at the end whose bias keeps it at zero"""
    x, y = data.regression()
    inner = mlp()
    nn.init.constant_(inner[-1].bias, -20.0 if faulty else 1.0)
    model = nn.Sequential(inner, nn.ReLU())
    return Training(model, x, y.abs(), nn.MSELoss(), SGD(model.parameters(), 0.05))


@pair("autoencoder", "dropout", "constant_output", "dead_units")
def everything_is_dropped(faulty: bool) -> Training:
    """A dropout of 1.0, meant as what is kept"""
    model = nn.Sequential(
        *autoencoder()[:2], nn.Dropout(1.0 if faulty else 0.0), *autoencoder()[2:]
    )
    return Training(model, *data.low_rank(), nn.MSELoss(), Adam(model.parameters(), 0.01))


@pair("mlp", "constant_output")
def output_without_the_input(faulty: bool) -> Training:
    """A gate that multiplies the features by zero before the last layer"""
    body, head = mlp()[:4], nn.Linear(32, 1)
    model = nn.Sequential(body, head)
    keep = 0.0 if faulty else 1.0
    return Training(
        model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 0.05),
        forward=lambda x: head(keep * body(x)),
    )  # fmt: skip


@pair("mlp", "output_scale")
def head_begins_far_too_large(faulty: bool) -> Training:
    """A last layer drawn a thousand times too large"""
    model = mlp()
    with torch.no_grad():
        model[-1].weight.mul_(1000.0 if faulty else 1.0)
    return Training(model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.003))


@pair("mlp", "saturation", "wrong_loss")
def bounded_output_for_large_targets(faulty: bool) -> Training:
    """A tanh at the end for targets of ±10"""
    x, y = data.regression()
    inner = mlp()
    model = nn.Sequential(inner, nn.Tanh()) if faulty else inner
    return Training(model, x, 10 * y, nn.MSELoss(), Adam(model.parameters(), 0.02))


class _Over(nn.Module):
    """The logarithm of a softmax along ``axis``."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(x, self.axis)


@pair("mlp", "wrong_loss")
def softmax_over_the_batch(faulty: bool) -> Training:
    """log_softmax is taken over the batch's axis"""
    model = nn.Sequential(mlp(3), _Over(0 if faulty else 1))
    return Training(
        model, *data.classes(), nn.NLLLoss(), Adam(model.parameters(), 0.01), steps=120,
        measure=lambda output, y: F.nll_loss(F.log_softmax(output, 1), y),
    )  # fmt: skip


@pair("mlp", "wrong_loss")
def column_against_three_outputs(faulty: bool) -> Training:
    """Squares of three outputs against one column of class numbers"""
    model = mlp(3)
    x, y = data.classes()
    optimizer = Adam(model.parameters(), 0.01)
    if not faulty:
        return Training(model, x, y, nn.CrossEntropyLoss(), optimizer, steps=120)
    return Training(
        model, x, y[:, None].float(), nn.MSELoss(), optimizer, steps=120,
        measure=lambda output, target: F.cross_entropy(output, target[:, 0].long()),
    )  # fmt: skip


@pair("cnn", "wrong_loss")
def labels_smoothed_away(faulty: bool) -> Training:
    """label_smoothing is 1"""
    model = cnn()
    loss = nn.CrossEntropyLoss(label_smoothing=1.0 if faulty else 0.05)
    return Training(
        model, *data.digits(), loss, Adam(model.parameters(), 0.005), steps=120,
        measure=F.cross_entropy,
    )  # fmt: skip


@pair("cnn", "saturation", "wrong_loss")
def logits_behind_a_tanh(faulty: bool) -> Training:
    """tanh keeps the logits between −1 and 1"""
    model = nn.Sequential(cnn(), *([nn.Tanh()] if faulty else []))
    return Training(
        model, *data.digits(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.01), steps=150
    )


@pair("mlp", "dead_units", "constant_output", "vanishing_activation", "wrong_loss")
def rectified_output_for_negative_targets(faulty: bool) -> Training:
    """A ReLU at the output, all targets below zero"""
    model = nn.Sequential(mlp(), *([nn.ReLU()] if faulty else []))
    x, y = data.regression()
    return Training(model, x, y - 4, nn.MSELoss(), Adam(model.parameters(), 0.01), steps=150)


@pair("mlp", "dropout", "constant_output")
def dropout_of_97_everywhere(faulty: bool) -> Training:
    """A dropout that was meant to keep 97 of 100 drops them"""
    p = 0.97 if faulty else 0.03
    model = nn.Sequential(
        nn.Linear(10, 32), nn.ReLU(), nn.Dropout(p), nn.Linear(32, 32), nn.ReLU(), nn.Dropout(p),
        nn.Linear(32, 3),
    )  # fmt: skip
    return Training(
        model, *data.classes(), nn.CrossEntropyLoss(), Adam(model.parameters(), 0.01), steps=150
    )


def _nearest(output: Tensor, _: Tensor) -> Tensor:
    """Share of the samples whose nearest second view is another one's."""
    one, other = output.chunk(2, 1)
    return 1 - (torch.cdist(one, other).argmin(1) == torch.arange(len(one))).float().mean()


@pair("mlp", "constant_output", "rank_collapse")
def pairs_that_nothing_keeps_apart(faulty: bool) -> Training:
    """Two views of a sample are pulled together, and no others pushed apart"""
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 8))
    x, _ = data.classes()

    def loss(output: Tensor, _: Tensor) -> Tensor:
        one, other = output.chunk(2, 1)
        together = (one - other).square().sum(1).mean()
        if faulty:
            return together
        apart = (one - other.roll(1, 0)).square().sum(1).clamp_min(1e-6).sqrt()
        return together + F.relu(2 - apart).square().mean()

    return Training(
        model, x, x.clone(), loss, Adam(model.parameters(), 0.01), steps=200, measure=_nearest,
        forward=lambda x: torch.cat([model(x), model(x + 0.2 * torch.randn_like(x))], 1),
    )  # fmt: skip


@pair("autoencoder", "saturation", "wrong_loss")
def sigmoid_for_standardised_pixels(faulty: bool) -> Training:
    """A sigmoid at the end of an autoencoder, and half of the pixels below zero"""
    x, _ = data.digits()
    x = x.flatten(1)
    model = nn.Sequential(autoencoder(64, 16), *([nn.Sigmoid()] if faulty else []))
    return Training(
        model, x, x.clone(), nn.MSELoss(), Adam(model.parameters(), 0.005), steps=150
    )  # fmt: skip


@pair("mlp", "norm_statistics", "constant_output", "vanishing_gradient")
def norm_of_a_single_number(faulty: bool) -> Training:
    """LayerNorm(1) at the end, which leaves nothing of its input"""
    model = nn.Sequential(mlp(), *([nn.LayerNorm(1)] if faulty else []))
    return Training(
        model, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.005), steps=100
    )


def _elbo(weight: float):
    """Reconstruction and divergence of an ``Encoder``; the latter is summed over the batch."""

    def loss(output: Tensor, x: Tensor) -> Tensor:
        made, mean, spread = output.split([24, 4, 4], 1)
        apart = -0.5 * (1 + spread - mean.square() - spread.exp()).sum()
        return F.mse_loss(made, x) + weight * apart

    return loss


@pair("autoencoder", "posterior_collapse", "constant_output", "rank_collapse")
def divergence_summed_over_the_batch(faulty: bool) -> Training:
    """A variational autoencoder whose decoder learns to leave the code alone"""
    x, _ = data.low_rank()
    model = Encoder()
    return Training(
        model, x, x.clone(), _elbo(1.0 if faulty else 1e-5), Adam(model.parameters(), 0.005),
        steps=150, measure=lambda output, x: F.mse_loss(output[:, :24], x),
    )  # fmt: skip


@pair("mlp", "dead_units", "constant_output", "vanishing_activation")
def discriminator_of_dead_units(faulty: bool) -> Training:
    """A hidden layer is dead, and what its biases make of a logit lies between 0 and 1"""
    model = mlp(features=2)
    nn.init.constant_(model[2].bias, -8.0 if faulty else 0.0)
    nn.init.constant_(model[4].bias, 0.3)
    x = torch.cat([0.3 * torch.randn(128, 2) + 1.5, torch.randn(128, 2)])
    y = (torch.arange(256) < 128).float()[:, None]
    return Training(model, x, y, nn.BCEWithLogitsLoss(), Adam(model.parameters(), 0.003), steps=120)


@pair("mlp", "wrong_loss")
def divergence_of_probabilities(faulty: bool) -> Training:
    """kl_div is given probabilities, whose logarithm was forgotten"""
    teacher, x = mlp(5), torch.randn(256, 10)
    with torch.no_grad():
        y = (8 * teacher(x)).softmax(1)
    model = nn.Sequential(mlp(5), nn.Softmax(1) if faulty else nn.LogSoftmax(1))

    def measure(output: Tensor, y: Tensor) -> Tensor:
        logarithms = output.clamp_min(1e-9).log() if faulty else output
        return F.kl_div(logarithms, y, reduction="batchmean")

    return Training(
        model, x, y, nn.KLDivLoss(reduction="batchmean"), Adam(model.parameters(), 0.005),
        steps=120, measure=measure,
    )  # fmt: skip


def _alike(loss):
    """The loss of output and target as columns."""
    return lambda output, y: loss(output.reshape(-1, 1), y.reshape(-1, 1))


@pair("autoencoder", "wrong_loss")
def chances_of_0_to_16(faulty: bool) -> Training:
    """binary_cross_entropy_with_logits where pixels go up to 16"""
    x, _ = data.digits()
    x = x.flatten(1)
    x = (x - x.min()) / (x.max() - x.min())
    model = mlp(64, features=64)

    def measure(output: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(output.sigmoid(), y / 16 if faulty else y)

    return Training(
        model, x, 16 * x if faulty else x, nn.BCEWithLogitsLoss(), Adam(model.parameters(), 0.003),
        steps=150, measure=measure,
    )  # fmt: skip


@pair("mlp", "wrong_loss")
def margin_of_zero_and_one(faulty: bool) -> Training:
    """SoftMarginLoss with targets of 0 and 1, where it takes -1 and 1"""
    model = mlp()
    x, y = data.regression()
    y = (y > 0).float()

    def measure(output: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(output, (y > 0).float())

    return Training(
        model, x, y if faulty else 2 * y - 1, nn.SoftMarginLoss(), Adam(model.parameters(), 0.003),
        steps=150, measure=measure,
    )  # fmt: skip


@pair("mlp", "wrong_loss", "dead_units")
def rectified_regression(faulty: bool) -> Training:
    """A ReLU behind the last layer, and targets around zero"""
    model = mlp()
    whole = nn.Sequential(model, nn.ReLU()) if faulty else model
    return Training(
        whole, *data.regression(), nn.MSELoss(), Adam(model.parameters(), 0.005), steps=150
    )
