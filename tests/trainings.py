"""Small trainings of every kind of network, each the same bits whenever it is run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

__all__ = ["ARCHITECTURES", "Training", "mlp"]

STEPS = 6


@dataclasses.dataclass
class Training:
    """A model, what trains it, and how one step goes: ``step(number, probe)``, the loss."""

    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    forward: Callable[[int], Tensor]
    """The loss of a step."""
    scaler: Any = None
    each: Callable[[Training, int], Tensor] | None = None
    """A whole step but the probe's, where it is not the ordinary one."""

    def run(self, probe: Any = None, steps: int = STEPS) -> None:
        for number in range(steps):
            loss = self.each(self, number) if self.each else self._ordinary(number)
            if probe is not None:
                probe.step(loss)

    def _ordinary(self, number: int) -> Tensor:
        loss = self.forward(number)
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return loss


def data(number: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(number))


def simple(model: nn.Module, *shape: int, out: Callable[[Any], Tensor] = lambda y: y) -> Training:
    """Trains ``model`` to make its output small."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, 0.05, momentum=0.9)
    return Training(model, [optimizer], lambda n: out(model(data(n, *shape))).square().mean())


def mlp(depth: int = 2, width: int = 8) -> Training:
    layers = [m for _ in range(depth) for m in (nn.Linear(width, width), nn.ReLU())]
    return simple(nn.Sequential(*layers, nn.Linear(width, 1)), 16, width)


def cnn() -> Training:
    return simple(
        nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.5), nn.Linear(36, 2),
        ),
        8, 1, 8, 8,
    )  # fmt: skip


def functional_inplace() -> Training:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(F.relu_(self.a(x)))

    return simple(Net(), 9, 6)


def rnn() -> Training:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 1)

        def forward(self, x: Tensor) -> Tensor:
            out, _ = self.lstm(x)
            return self.head(out[:, -1])

    return simple(Net(), 4, 7, 3)


def packed() -> Training:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(3, 5, batch_first=True), nn.Linear(5, 1)

        def forward(self, x: Tensor) -> Tensor:
            lengths = torch.tensor([7, 5, 3, 1])
            out, _ = self.gru(pack_padded_sequence(x, lengths, batch_first=True))
            return self.head(pad_packed_sequence(out, batch_first=True)[0])

    return simple(Net(), 4, 7, 3)


def cell() -> Training:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRUCell(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            h = x.new_zeros(len(x), 4)
            for t in range(x.shape[1]):
                h = self.cell(x[:, t], h)
            return h

    return simple(Net(), 4, 7, 3)


def transformer() -> Training:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    return simple(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), 3, 5, 8)


def attention() -> Training:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
            self.position = nn.Parameter(torch.zeros(5, 8))

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.qkv(x + self.position).chunk(3, -1)
            return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True))

    return simple(Net(), 3, 5, 8)


def tied() -> Training:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(11, 6), nn.Linear(6, 11, bias=False)
            self.head.weight = self.embedding.weight
            self.unused = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.embedding(x))

    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)

    def forward(number: int) -> Tensor:
        tokens = torch.randint(11, (4, 7), generator=torch.Generator().manual_seed(number))
        return F.cross_entropy(model(tokens).flatten(0, 1), tokens.roll(1, 1).flatten())

    return Training(model, [optimizer], forward)


def shared() -> Training:
    block = nn.Linear(6, 6)
    return simple(nn.Sequential(block, nn.Tanh(), block, nn.Tanh(), block), 9, 6)


def frozen() -> Training:
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    model[0].requires_grad_(False)
    return simple(model, 9, 6)


def backbone_without_gradients() -> Training:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.head = nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                x = self.backbone(x)
            return self.head(x)

    return simple(Net(), 9, 6)


def checkpointed(reentrant: bool) -> Training:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(6, 6)
            self.body = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.3), nn.Tanh())
            self.head = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(checkpoint(self.body, self.first(x), use_reentrant=reentrant))

    return simple(Net(), 9, 6)


def dictionaries() -> Training:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 6)
            self.scale = nn.Parameter(torch.ones(6))

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"index": torch.arange(3), "hidden": self.linear(x) * self.scale}

    return simple(nn.Sequential(Inner()), 9, 6, out=lambda y: y["hidden"])


@dataclasses.dataclass
class Output:
    index: Tensor
    logits: Tensor


def dataclass() -> Training:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(6, 2))

        def forward(self, x: Tensor) -> Output:
            return Output(torch.arange(3), x @ self.weight)

    return simple(nn.Sequential(Inner()), 9, 6, out=lambda y: y.logits)


def sparse() -> Training:
    model = nn.Sequential(nn.Embedding(20, 4, sparse=True))
    optimizer = torch.optim.SparseAdam(model.parameters(), 0.01)

    def forward(number: int) -> Tensor:
        tokens = torch.randint(20, (5, 3), generator=torch.Generator().manual_seed(number))
        return model(tokens).square().mean()

    return Training(model, [optimizer], forward)


def complex_numbers() -> Training:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.filter = nn.Linear(4, 4, dtype=torch.complex64)

        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.irfft(self.filter(torch.fft.rfft(x)), n=6)

    return simple(Net(), 5, 6)


def weight_norm() -> Training:
    return simple(
        nn.Sequential(
            parametrizations.weight_norm(nn.Linear(6, 6)), nn.ELU(),
            parametrizations.spectral_norm(nn.Linear(6, 2)),
        ),
        9, 6,
    )  # fmt: skip


def lazy() -> Training:
    model = nn.Sequential(nn.LazyLinear(5), nn.LazyBatchNorm1d(), nn.ReLU(), nn.Linear(5, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    return Training(model, [optimizer], lambda n: model(data(n, 9, 6)).square().mean())


def two_optimizers() -> Training:
    model = nn.ModuleDict({"g": nn.Linear(3, 3), "d": nn.Sequential(nn.Linear(3, 4), nn.ReLU(),
                                                                    nn.Linear(4, 1))})  # fmt: skip
    g = torch.optim.Adam(model["g"].parameters(), 0.01)
    d = torch.optim.Adam(model["d"].parameters(), 0.01)

    def each(_: Training, number: int) -> Tensor:
        z = data(number, 8, 3)
        d.zero_grad()
        loss = model["d"](model["g"](z).detach()).mean() - model["d"](z + 1).mean()
        loss.backward()
        d.step()
        g.zero_grad()
        (-model["d"](model["g"](z)).mean()).backward()
        g.step()
        return loss

    return Training(model, [g, d], lambda n: torch.zeros(()), each=each)


def lbfgs() -> Training:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)
    last: list[Tensor] = []

    def each(training: Training, number: int) -> Tensor:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = training.forward(0)
            loss.backward()
            return loss

        last[:] = [optimizer.step(closure)]
        return last[0]

    return Training(
        model, [optimizer], lambda n: (model(data(n, 9, 4)) - 1).square().mean(), each=each
    )


def accumulated() -> Training:
    training = mlp()

    def each(training: Training, number: int) -> Tensor:
        for part in range(3):
            loss = training.forward(3 * number + part) / 3
            loss.backward()
        training.optimizers[0].step()
        training.optimizers[0].zero_grad(set_to_none=False)
        return loss

    training.each = each
    return training


def clipped() -> Training:
    training = mlp()

    def each(training: Training, number: int) -> Tensor:
        training.optimizers[0].zero_grad()
        loss = training.forward(number) * 100
        loss.backward()
        nn.utils.clip_grad_norm_(training.model.parameters(), 0.1)
        training.optimizers[0].step()
        return loss

    training.each = each
    return training


def autocast() -> Training:
    training = mlp()
    training.scaler = torch.amp.GradScaler("cpu", init_scale=256.0)

    def each(training: Training, number: int) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = training.forward(number)
        training.scaler.scale(loss).backward()
        training.scaler.step(training.optimizers[0])
        training.scaler.update()
        training.optimizers[0].zero_grad()
        return loss

    training.each = each
    return training


def half_precision() -> Training:
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2)).bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    return Training(
        model, [optimizer], lambda n: model(data(n, 9, 6).bfloat16()).float().square().mean()
    )


def evaluated_between() -> Training:
    training = cnn()

    def each(training: Training, number: int) -> Tensor:
        training.model.train()
        loss = training._ordinary(number)
        training.model.eval()
        with torch.no_grad():
            training.model(data(number, 3, 1, 8, 8))
        return loss

    training.each = each
    return training


def grown() -> Training:
    training = mlp()

    def each(training: Training, number: int) -> Tensor:
        if number == 3:
            added = nn.Linear(1, 1)
            training.model.append(added)
            training.optimizers[0].add_param_group({"params": list(added.parameters())})
        return training._ordinary(number)

    training.each = each
    return training


def channels_last() -> Training:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    training = simple(model.to(memory_format=torch.channels_last), 4, 3, 6, 6)
    training.forward = (
        lambda n: model(data(n, 4, 3, 6, 6).contiguous(memory_format=torch.channels_last))
        .square().sum()
    )  # fmt: skip
    return training


def expanded_gradient() -> Training:
    training = mlp()
    model = training.model
    training.forward = lambda n: model(data(n, 16, 8)).sum()
    return training


ARCHITECTURES: dict[str, Callable[[], Training]] = {
    f.__name__: f
    for f in (
        mlp, cnn, functional_inplace, rnn, packed, cell, transformer, attention, tied, shared,
        frozen, backbone_without_gradients, dictionaries, dataclass, sparse, complex_numbers,
        weight_norm, lazy, two_optimizers, lbfgs, accumulated, clipped, autocast, half_precision,
        evaluated_between, grown, channels_last, expanded_gradient,
    )
} | {
    "checkpointed": lambda: checkpointed(reentrant=False),
    "checkpointed_reentrant": lambda: checkpointed(reentrant=True),
}  # fmt: skip
