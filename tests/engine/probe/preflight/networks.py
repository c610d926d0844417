"""Small real networks and batches, faulty or healthy, for the tests of preflight."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CE = nn.CrossEntropyLoss()
MSE = nn.MSELoss()


def mlp(depth=3, width=32, act=nn.ReLU, inputs=20, outputs=10):
    torch.manual_seed(0)
    sizes = [inputs, *[width] * depth]
    hidden = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), act())]
    return nn.Sequential(*hidden, nn.Linear(width, outputs))


def classes(samples=64, inputs=20, number=10):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(samples, inputs, generator=generator)
    return x, torch.randint(0, number, (samples,), generator=generator)


def numbers(samples=64, inputs=20):
    x = torch.randn(samples, inputs, generator=torch.Generator().manual_seed(1))
    return x, x[:, :1] * 2


def drawn(model, draw):
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear):
                draw(module.weight)
    return model


def cnn():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 10),
    )  # fmt: skip


def images():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(32, 3, 8, 8, generator=generator)
    return x, torch.randint(0, 10, (32,), generator=generator)


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.tokens = nn.Embedding(50, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 50)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.tokens(x))).flatten(0, 1)


def text():
    x = torch.randint(0, 50, (16, 8), generator=torch.Generator().manual_seed(1))
    return x, x.flatten()


class Recurrent(nn.Module):
    def __init__(self, kind=nn.LSTM):
        super().__init__()
        torch.manual_seed(0)
        self.body = kind(8, 32, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)[0][:, -1])


def series():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(32, 10, 8, generator=generator)
    return x, torch.randint(0, 5, (32,), generator=generator)


class Residual(nn.Module):
    """Branches that begin as zero, and a gain that does."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Linear(20, 32), nn.Linear(32, 10)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)) for _ in range(4)
        )
        for branch in self.branches:
            nn.init.zeros_(branch[2].weight)
            nn.init.zeros_(branch[2].bias)
        self.gated = nn.Sequential(nn.Linear(32, 32), nn.Tanh())
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for branch in self.branches:
            x = x + branch(x)
        return self.head(x + self.alpha * self.gated(x))


class Functional(nn.Module):
    """Activations as functions, as most people write them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Linear(20, 32), nn.Linear(32, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.second(torch.relu(self.first(x)))))


HEALTHY = {
    "mlp": (mlp, classes, CE),
    "tanh": (lambda: mlp(act=nn.Tanh), classes, CE),
    "regression": (lambda: mlp(outputs=1), numbers, MSE),
    "linear": (lambda: nn.Linear(20, 1), numbers, MSE),
    "cnn": (cnn, images, CE),
    "transformer": (Transformer, text, CE),
    "lstm": (Recurrent, series, CE),
    "gru": (lambda: Recurrent(nn.GRU), series, CE),
    "rnn": (lambda: Recurrent(nn.RNN), series, CE),
    "residual": (Residual, classes, CE),
    "functional": (Functional, classes, CE),
}
