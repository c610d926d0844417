"""Trainings that only look wrong: nobody is accused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from layerscope.engine.probe.watch import watch
from tests.faults import STEPS, accused, data, mlp, seeded, train


def residual(zero):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(10, 10), nn.Linear(10, 10)
            if zero:
                nn.init.zeros_(self.b.weight)
                nn.init.zeros_(self.b.bias)

        def forward(self, x):
            return x + self.b(F.relu(self.a(x)))

    return nn.Sequential(Block(), Block(), nn.Linear(10, 1))


def lora():
    class Adapted(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = nn.Linear(10, 10).requires_grad_(False)
            self.down, self.up = nn.Linear(10, 2, bias=False), nn.Linear(2, 10, bias=False)
            nn.init.zeros_(self.up.weight)

        def forward(self, x):
            return self.base(x) + self.up(self.down(x))

    return nn.Sequential(Adapted(), nn.ReLU(), nn.Linear(10, 1))


def frozen_backbone():
    model = mlp()
    model[0].requires_grad_(False)
    return train(model, *data())


def head_alone():
    model = mlp()
    return train(model, *data(), optimizer=torch.optim.SGD(model[4].parameters(), 0.05))


def warm_up():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.0)

    def each(number):
        optimizer.param_groups[0]["lr"] = 1e-9 * 1.3**number

    return train(model, *data(), optimizer=optimizer, each=each)


def adam_with_tiny_gradients():
    model = mlp()
    x, y = data()
    optimizer = torch.optim.Adam(model.parameters(), 0.01, eps=1e-30)
    return train(model, x, y, loss=lambda a, b: 1e-12 * F.mse_loss(a, b), optimizer=optimizer)


def accumulated():
    model = mlp()
    x, y = data()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with watch(model, optimizer, loss=nn.MSELoss(), every=1, to=":memory:") as probe:
        for _ in range(STEPS):
            for part in range(4):
                value = probe.loss(model(x[part::4]), y[part::4]) / 4
                value.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.step(value)
    return probe.findings()


def noise():
    x, _ = data()
    y = torch.randn(64, 1, generator=torch.Generator().manual_seed(5))

    def forward(_):
        return model(torch.randn(64, 10))

    model = mlp()
    return train(model, x, y, forward=forward, lr=0.01)


def huge_targets():
    x, y = data()
    model = mlp()
    return train(model, x, 1e4 * y, optimizer=torch.optim.Adam(model.parameters(), 0.1))


def sparse_relu():
    model = mlp(hidden=256)
    with torch.no_grad():
        model[0].bias.fill_(-1.0)
    return train(model, *data())


LOOKS_WRONG = {
    "zero residual branches": lambda: train(residual(True), *data()),
    "LoRA": lambda: train(lora(), *data()),
    "frozen backbone": frozen_backbone,
    "a head trained alone": head_alone,
    "warm-up": warm_up,
    "Adam with tiny gradients": adam_with_tiny_gradients,
    "accumulation": accumulated,
    "noise": noise,
    "huge targets": huge_targets,
    "sparse ReLU": sparse_relu,
    "sigmoid": lambda: train(mlp(activation=nn.Sigmoid), *data(), lr=0.03, steps=150),
    "classification": lambda: train(
        mlp(3), *data("classes"), loss=nn.CrossEntropyLoss(), lr=0.3
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOKS_WRONG)
def test_nobody_is_accused_of_what_only_looks_wrong(name):
    assert accused(seeded(LOOKS_WRONG[name])) == set()


def test_after_few_steps_nothing_is_said_of_how_it_goes():
    torch.manual_seed(0)
    assert not accused(train(mlp(), *data(), lr=1e-7, steps=4))
