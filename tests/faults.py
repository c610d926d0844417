"""Small trainings with a fault, each beside its repaired twin."""

from __future__ import annotations

import torch
from torch import nn

from layerscope.engine.probe.watch import watch

__all__ = ["PAIRS", "STEPS", "Copied", "accused", "data", "mlp", "seeded", "train"]

STEPS = 40


class Copied(torch.autograd.Function):
    """An operation of somebody's own, which gives what it is given."""

    @staticmethod
    def forward(_, x):
        return x.clone()

    @staticmethod
    def backward(_, gradient):
        return gradient


def data(kind="regression", n=64, features=10):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(n, features, generator=g)
    if kind == "regression":
        return x, (x[:, :2] * torch.tensor([1.0, -1.0])).sum(1, keepdim=True)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def mlp(outputs=1, hidden=32, features=10, activation=nn.ReLU):
    return nn.Sequential(
        nn.Linear(features, hidden), activation(), nn.Linear(hidden, hidden), activation(),
        nn.Linear(hidden, outputs),
    )  # fmt: skip


def train(
    model, x, y, loss=None, lr=0.05, optimizer=None, zero=True, steps=STEPS, every=1, forward=None,
    each=None, heard=True,
):  # fmt: skip
    """What is found at the end, by a probe that records every so many steps; ``heard``: through
    which the loss is called."""
    loss = loss or nn.MSELoss()
    optimizer = optimizer or torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr)
    forward = forward or model
    with watch(model, optimizer, loss=loss if heard else None, every=every, to=":memory:") as probe:
        for number in range(steps):
            if each is not None:
                each(number)
            if zero:
                optimizer.zero_grad()
            value = (probe.loss if heard else loss)(forward(x), y)
            value.backward()
            optimizer.step()
            probe.step(value)
    assert probe.error is None, repr(probe.error)
    return probe.findings()


def accused(findings):
    return {f.rule for f in findings if f.severity != "info"}


def seeded(function):
    torch.manual_seed(0)
    return function()


def rate(lr):
    return lambda: train(mlp(), *data(), lr=lr)


def broadcast(repaired):
    x, y = data()
    return train(mlp(), x, y if repaired else y[:, 0])


def twice_softmax(repaired):
    model = mlp(3)
    model = model if repaired else nn.Sequential(*model, nn.Softmax(1))
    return train(model, *data("classes"), loss=nn.CrossEntropyLoss(), lr=0.3)


def positive_logarithms(repaired):
    model = mlp(3)
    model = nn.Sequential(*model, nn.LogSoftmax(1)) if repaired else model
    return train(model, *data("classes"), loss=nn.NLLLoss(), lr=0.1)


def never_zeroed(repaired):
    return train(mlp(), *data(), lr=0.05, zero=repaired)


def evaluating(repaired):
    model = nn.Sequential(nn.Linear(10, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))
    model.train(repaired)
    return train(model, *data())


def unscaled(repaired):
    x, y = data()
    return train(mlp(), x if repaired else x * 50 + 128, y, lr=0.05)


def detached(repaired):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(10, 16), nn.Linear(16, 1)

        def forward(self, x):
            x = self.first(x).relu()
            return self.second(x if repaired else x.detach())

    x, y = data()
    return train(Net(), x, y + 0 * x[:, :1])


def forgotten(repaired):
    model = mlp()
    parameters = list(model.parameters()) if repaired else [model[0].bias]
    return train(model, *data(), optimizer=torch.optim.SGD(parameters, 0.05))


def lost_updates(repaired):
    model = mlp().bfloat16()
    x, y = (t.bfloat16() for t in data())
    with torch.no_grad():
        for p in model.parameters():
            p.add_(p.sign() * 0.2)
    return train(model, x, y, lr=0.05 if repaired else 1e-6)


def constant(repaired):
    model = mlp()
    if not repaired:
        with torch.no_grad():
            model[2].bias.fill_(-100.0)
    return train(model, *data())


PAIRS = {
    "learning_rate_high": (rate(20.0), rate(0.05)),
    "learning_rate_low": (rate(1e-7), rate(0.05)),
    "wrong_loss: broadcast": (lambda: broadcast(False), lambda: broadcast(True)),
    "wrong_loss: softmax": (lambda: twice_softmax(False), lambda: twice_softmax(True)),
    "wrong_loss: logarithms": (
        lambda: positive_logarithms(False), lambda: positive_logarithms(True),
    ),
    "stale_gradients": (lambda: never_zeroed(False), lambda: never_zeroed(True)),
    "eval_mode": (lambda: evaluating(False), lambda: evaluating(True)),
    "input_scale": (lambda: unscaled(False), lambda: unscaled(True)),
    "frozen: detached": (lambda: detached(False), lambda: detached(True)),
    "frozen: forgotten": (lambda: forgotten(False), lambda: forgotten(True)),
    "precision_loss": (lambda: lost_updates(False), lambda: lost_updates(True)),
    "constant_output": (lambda: constant(False), lambda: constant(True)),
}  # fmt: skip
