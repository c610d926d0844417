"""Steps that are too large, and steps that are too small."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, LRScheduler

from benchmarks.trainings import data
from benchmarks.trainings.case import Training, pair
from benchmarks.trainings.models import (
    Tokened,
    UNet,
    autoencoder,
    cnn,
    deep,
    mlp,
    rnn,
    transformer,
)

__all__: list[str] = []

HIGH, LOW = "learning_rate_high", "learning_rate_low"
FADED = "rank_collapse", "constant_output", "vanishing_gradient", "vanishing_activation"
"""What there is to be seen where the weights have gone; the decay is named with it."""


@pair("mlp", HIGH)
def mlp_sgd_rate_of_3(faulty: bool) -> Training:
    """SGD at a rate of 3 on a regression"""
    model = mlp()
    return Training(
        model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 3.0 if faulty else 0.05)
    )


@pair("mlp", HIGH)
def mlp_diverges_at_once(faulty: bool) -> Training:
    """SGD at a rate of 1000: infinite within a few steps"""
    model = mlp()
    return Training(
        model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 1e3 if faulty else 0.05)
    )


@pair("mlp", HIGH)
def mlp_adam_rate_of_1(faulty: bool) -> Training:
    """Adam at a rate of 1 on three classes"""
    model = mlp(3)
    return Training(
        model,
        *data.classes(),
        nn.CrossEntropyLoss(),
        Adam(model.parameters(), 1.0 if faulty else 0.01),
    )


@pair("cnn", HIGH)
def cnn_momentum_rate_of_1(faulty: bool) -> Training:
    """A rate of 1 with momentum on digits"""
    model = cnn()
    return Training(
        model,
        *data.digits(),
        nn.CrossEntropyLoss(),
        SGD(model.parameters(), 1.0 if faulty else 0.02, momentum=0.9),
    )


@pair("transformer", HIGH)
def transformer_adam_rate_of_a_half(faulty: bool) -> Training:
    """Adam at a rate of 0.5 on a transformer"""
    model = transformer()
    return Training(
        model,
        *data.tokens(),
        nn.CrossEntropyLoss(),
        Adam(model.parameters(), 0.5 if faulty else 0.003),
    )


@pair("rnn", HIGH)
def lstm_rmsprop_rate_of_1(faulty: bool) -> Training:
    """RMSprop at a rate of 1 on an LSTM"""
    model = rnn()
    return Training(
        model, *data.sequences(), nn.MSELoss(), RMSprop(model.parameters(), 1.0 if faulty else 0.01)
    )


@pair("autoencoder", HIGH)
def autoencoder_adam_rate_of_1(faulty: bool) -> Training:
    """AdamW at a rate of 1 on an autoencoder"""
    model = autoencoder()
    return Training(
        model, *data.low_rank(), nn.MSELoss(), AdamW(model.parameters(), 1.0 if faulty else 0.01)
    )


@pair("linear", HIGH)
def linear_regression_rate_of_2(faulty: bool) -> Training:
    """Gradient descent just beyond the largest stable rate of a linear model"""
    model = nn.Linear(10, 1)
    return Training(
        model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 2.0 if faulty else 0.05)
    )


@pair("mlp", HIGH)
def rate_grows_without_end(faulty: bool) -> Training:
    """A schedule multiplies the rate by 1.15 a step instead of 0.99"""
    model = mlp()
    optimizer = SGD(model.parameters(), 0.02)
    schedule = ExponentialLR(optimizer, 1.15 if faulty else 0.99)
    return Training(
        model, *data.regression(), nn.MSELoss(), optimizer, limit=_after_first(schedule)
    )


@pair("mlp", LOW)
def mlp_sgd_rate_of_a_millionth(faulty: bool) -> Training:
    """SGD at a rate of 1e-6"""
    model = mlp()
    return Training(
        model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 1e-6 if faulty else 0.05)
    )


@pair("cnn", LOW)
def cnn_adam_rate_of_1e_8(faulty: bool) -> Training:
    """Adam at a rate of 1e-8 on digits"""
    model = cnn()
    return Training(
        model,
        *data.digits(),
        nn.CrossEntropyLoss(),
        Adam(model.parameters(), 1e-8 if faulty else 0.003),
    )


@pair("rnn", LOW)
def gru_sgd_rate_of_1e_6(faulty: bool) -> Training:
    """SGD at a rate of 1e-6 on a GRU"""
    model = rnn(nn.GRU)
    return Training(
        model,
        *data.sequences(),
        nn.MSELoss(),
        SGD(model.parameters(), 1e-6 if faulty else 0.1, momentum=0.9),
    )


@pair("transformer", LOW)
def transformer_adam_rate_of_1e_7(faulty: bool) -> Training:
    """Adam at a rate of 1e-7 on a transformer"""
    model = transformer()
    return Training(
        model,
        *data.tokens(),
        nn.CrossEntropyLoss(),
        Adam(model.parameters(), 1e-7 if faulty else 0.003),
    )


@pair("mlp", LOW)
def rate_decays_in_some_steps(faulty: bool) -> Training:
    """A schedule that halves the rate every step, meant for every epoch"""
    model = mlp()
    optimizer = SGD(model.parameters(), 0.05)
    schedule = ExponentialLR(optimizer, 0.5 if faulty else 0.99)
    return Training(
        model, *data.regression(), nn.MSELoss(), optimizer, limit=_after_first(schedule)
    )


@pair("mlp", LOW)
def clipped_to_a_millionth(faulty: bool) -> Training:
    """Gradients clipped to a norm of 1e-6 instead of 1"""
    model = mlp()
    return Training(
        model, *data.regression(), nn.MSELoss(), SGD(model.parameters(), 0.05),
        limit=lambda: nn.utils.clip_grad_norm_(model.parameters(), 1e-6 if faulty else 1.0),
    )  # fmt: skip


@pair("rnn", LOW)
def values_clipped_to_nothing(faulty: bool) -> Training:
    """Every entry of a GRU's gradients clipped to ±1e-7 instead of ±1"""
    model = rnn(nn.GRU)
    return Training(
        model, *data.sequences(), nn.MSELoss(), SGD(model.parameters(), 0.1, momentum=0.9),
        limit=lambda: nn.utils.clip_grad_value_(model.parameters(), 1e-7 if faulty else 1.0),
    )  # fmt: skip


def _after_first(schedule: LRScheduler):
    """Steps the schedule from the second step on, when the optimiser has stepped."""
    steps = iter([lambda: None])
    return lambda: next(steps, schedule.step)()


@pair("rnn", "learning_rate_low")
def lstm_sgd_rate_of_1e_5(faulty: bool) -> Training:
    """SGD with momentum at 1e-5 on an LSTM"""
    model = rnn()
    rate = 1e-5 if faulty else 0.5
    return Training(
        model, *data.sequences(), nn.MSELoss(), SGD(model.parameters(), rate, momentum=0.9),
        steps=120,
    )  # fmt: skip


@pair("mlp", "learning_rate_high", "nonfinite")
def summed_loss_with_a_rate_for_means(faulty: bool) -> Training:
    """reduction="sum" at a learning rate that was chosen for the mean"""
    model = mlp(hidden=64)
    loss = nn.MSELoss(reduction="sum" if faulty else "mean")
    return Training(
        model, *data.regression(), loss, SGD(model.parameters(), 0.1), steps=100,
        measure=F.mse_loss,
    )  # fmt: skip


@pair("transformer", LOW)
def warm_up_of_a_million_steps(faulty: bool) -> Training:
    """A rate that is to grow over a million steps, as many as the samples"""
    model = transformer()
    optimizer = AdamW(model.parameters(), 0.003)
    length = 1_000_000 if faulty else 20
    schedule = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / length))
    return Training(
        model, *data.tokens(), nn.CrossEntropyLoss(), optimizer, steps=120,
        limit=_after_first(schedule),
    )  # fmt: skip


@pair("cnn", LOW)
def factor_of_whole_numbers(faulty: bool) -> Training:
    """A schedule of step // 1000, which is zero"""
    model = cnn(norm=True)
    optimizer = SGD(model.parameters(), 0.05)
    schedule = LambdaLR(optimizer, lambda step: step // 1000 if faulty else 1.0)
    return Training(
        model, *data.digits(), nn.CrossEntropyLoss(), optimizer, limit=_after_first(schedule)
    )


@pair("cnn", LOW)
def adam_with_an_epsilon_of_100(faulty: bool) -> Training:
    """eps=100, beside which every gradient is nothing"""
    model = cnn()
    optimizer = Adam(model.parameters(), 0.003, eps=100.0 if faulty else 1e-8)
    return Training(model, *data.digits(), nn.CrossEntropyLoss(), optimizer, steps=80)


@pair("transformer", "gradient_clipping", LOW)
def clipped_beside_a_token_of_zeros(faulty: bool) -> Training:
    """Gradients clipped to 1e-6, and a class token that begins at zero, which moves all the same"""
    model = Tokened(transformer())
    return Training(
        model, *data.tokens(), nn.CrossEntropyLoss(), SGD(model.parameters(), 0.1, momentum=0.9),
        limit=lambda: nn.utils.clip_grad_norm_(model.parameters(), 1e-6 if faulty else 1.0),
        steps=150,
    )  # fmt: skip


@pair("mlp", LOW, "output_scale")
def prices_as_targets(faulty: bool) -> Training:
    """Targets of 200,000 ± 50,000 under Adam at a rate of 0.003"""
    x, y = data.regression()
    model = mlp(hidden=64)
    return Training(
        model, x, 2e5 + 5e4 * y if faulty else y, nn.MSELoss(), Adam(model.parameters(), 0.003),
        steps=150, measure=lambda output, target: F.mse_loss(output, target) / target.var(),
    )  # fmt: skip


@pair("rnn", HIGH, "nonfinite")
def momentum_of_0_999(faulty: bool) -> Training:
    """Adam's second moment taken for a momentum"""
    model = rnn(nn.GRU)
    optimizer = SGD(model.parameters(), 0.3, momentum=0.999 if faulty else 0.5)
    return Training(model, *data.sequences(), nn.MSELoss(), optimizer, steps=120)


@pair("cnn", HIGH, "dead_units", "nonfinite")
def unet_momentum_rate_of_5(faulty: bool) -> Training:
    """A rate of 5 with momentum on a U-Net"""
    model = UNet()
    optimizer = SGD(model.parameters(), 5.0 if faulty else 0.1, momentum=0.9)
    return Training(
        model, *data.squares(), nn.CrossEntropyLoss(), optimizer, steps=50, batch=16
    )  # fmt: skip


@pair("mlp", "constant_output", "vanishing_activation", "rank_collapse", LOW)
def decay_of_one(faulty: bool) -> Training:
    """weight_decay=1, by which nothing of the weights is left"""
    model = deep(4, 3)
    optimizer = SGD(model.parameters(), 0.1, weight_decay=1.0 if faulty else 1e-4)
    return Training(model, *data.classes(), nn.CrossEntropyLoss(), optimizer, steps=200)


@pair("cnn", "weight_decay", *FADED)
def decay_of_a_half(faulty: bool) -> Training:
    """A weight decay of 0.5 for one of 0.0005, under batch norm"""
    model = cnn(norm=True)
    decay = 0.5 if faulty else 0.0005
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=decay)
    return Training(model, *data.digits(), nn.CrossEntropyLoss(), optimizer, steps=120)


@pair("mlp", "weight_decay", *FADED)
def decay_within_adam(faulty: bool) -> Training:
    """Adam's own weight decay, which its step divides by the gradients' size, at a tenth"""
    model = deep(4, 3)
    decay = 0.1 if faulty else 1e-4
    optimizer = Adam(model.parameters(), 0.003, weight_decay=decay)
    return Training(model, *data.classes(), nn.CrossEntropyLoss(), optimizer, steps=250)
