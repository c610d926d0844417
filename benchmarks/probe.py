"""What watching every step costs, beside what else one would use: ratios of step times.

``python -m benchmarks.probe`` trains the MLP of 50 × 100 units at batch 200 and a small CNN at
batch 128 on one torch thread, with and without each way of recording in turn; a ratio is the median
over pairs of blocks of steps. TensorBoard's histograms and ``wandb.watch`` (offline) where they are
installed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

import layerscope

PAIRS = 8
STEPS = 40  # in a block that is timed: findings are asked for in it as often as in any training
WARM = 20  # steps before it, in which all is compiled, learned and judged for the first time
BUDGET_PAIRS, BUDGET_STEPS, BUDGET_WARM = 5, 120, 60  # it has to find its pace first
EVERY_STEP = 1
BUDGET = 0.05
shares: list[float] = []
"""Of the step time, as the probe itself says it has cost within its budget."""

Step = Callable[[float], None]
"""Called after each step with its loss."""
Way = Callable[[nn.Module, torch.optim.Optimizer], contextlib.AbstractContextManager[Step]]


def mlp() -> tuple[nn.Module, Tensor, Tensor]:
    """Fifty layers of a hundred units."""
    layers = [m for _ in range(50) for m in (nn.Linear(100, 100), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(100, 1)), torch.randn(200, 100), torch.randn(200, 1)


def cnn() -> tuple[nn.Module, Tensor, Tensor]:
    """Four convolutions with batch norm."""
    sizes = [3, 16, 32, 32, 64]
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Conv2d(a, b, 3, stride=1 + (b > 16), padding=1), nn.BatchNorm2d(b), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    return model, torch.randn(128, 3, 32, 32), torch.randn(128, 10)


@contextlib.contextmanager
def nothing(_: nn.Module, __: torch.optim.Optimizer) -> Iterator[Step]:
    """The training alone."""
    yield lambda loss: None


@contextlib.contextmanager
def probe(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Step]:
    """Ours, every step."""
    with layerscope.watch(model, optimizer, every=EVERY_STEP, to=":memory:") as watched:
        yield watched.step


@contextlib.contextmanager
def probe_within_budget(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Step]:
    """Ours, as budget=0.05 decides."""
    with layerscope.watch(model, optimizer, budget=BUDGET, to=":memory:") as watched:
        yield watched.step
        cost = watched.cost()
    shares.append(cost["share"])


@contextlib.contextmanager
def by_hand(model: nn.Module, _: torch.optim.Optimizer) -> Iterator[Step]:
    """Forward hooks and tensor hooks that ask for mean, std, share of zeros and a histogram."""
    figures: list[list[float]] = []

    def measure(tensor: Tensor) -> None:
        t = tensor.detach()
        counts = torch.histc(t, 40)
        figures.append([t.mean().item(), t.std().item(), (t == 0).sum().item(), *counts.tolist()])

    def hook(_m: nn.Module, _i: object, output: Tensor) -> None:
        measure(output)
        output.register_hook(measure)

    handles = [m.register_forward_hook(hook) for m in model.modules() if not list(m.children())]

    def step(_loss: float) -> None:
        for parameter in model.parameters():
            measure(parameter)
            if parameter.grad is not None:
                measure(parameter.grad)
        figures.clear()

    yield step
    for handle in handles:
        handle.remove()


@contextlib.contextmanager
def tensorboard(model: nn.Module, _: torch.optim.Optimizer) -> Iterator[Step]:
    """``add_histogram`` of outputs, parameters and their gradients."""
    from torch.utils.tensorboard import SummaryWriter

    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
        outputs: list[tuple[str, Tensor]] = []
        names = {m: n for n, m in model.named_modules()}
        handles = [
            m.register_forward_hook(lambda m, _, out: outputs.append((names[m], out.detach())))
            for m in model.modules()
            if not list(m.children())
        ]
        number = 0

        def step(_loss: float) -> None:
            nonlocal number
            number += 1
            for name, out in outputs:
                writer.add_histogram(f"output/{name}", out, number)
            outputs.clear()
            for name, parameter in model.named_parameters():
                writer.add_histogram(name, parameter, number)
                writer.add_histogram(f"{name}.grad", parameter.grad, number)

        yield step
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def wandb(model: nn.Module, _: torch.optim.Optimizer) -> Iterator[Step]:
    """``wandb.watch(log="all", log_freq=1)``, offline."""
    import wandb as library

    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_DIR=folder)
        run = library.init(dir=folder)
        library.watch(model, log="all", log_freq=1)
        yield lambda loss: run.log({"loss": loss})
        library.unwatch(model)
        run.finish()


WAYS: dict[str, Way] = {
    "layerscope.watch, every step": probe,
    "hooks written by hand": by_hand,
}


def block(
    way: Way, model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor,
    *, warm: int = WARM, steps: int = STEPS,
) -> float:  # fmt: skip
    """Seconds of a step, over some steps after warming up."""
    with way(model, optimizer) as after:
        for number in range(warm + steps):
            if number == warm:
                began = time.perf_counter()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            after(loss.item())
            optimizer.zero_grad()
        return (time.perf_counter() - began) / steps


def ratio(
    way: Way, make: Callable[[], tuple[nn.Module, Tensor, Tensor]], pairs: int, **lengths: int
) -> float:
    """Step time with ``way`` by that without, the median of pairs."""
    torch.manual_seed(0)
    model, x, y = make()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    found = []
    for _ in range(pairs):
        without = block(nothing, model, optimizer, x, y, **lengths)
        found.append(block(way, model, optimizer, x, y, **lengths) / without)
    return statistics.median(found)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    ways = dict(WAYS)
    if importlib.util.find_spec("tensorboard"):
        ways["TensorBoard histograms"] = tensorboard
    if importlib.util.find_spec("wandb"):
        ways["wandb.watch, offline"] = wandb
    print(f"{'step time by that of the training alone':<42}{'MLP 50 × 100':>14}{'CNN':>8}")
    for name, way in ways.items():
        pairs = PAIRS if way in WAYS.values() else 3
        row = [ratio(way, make, pairs) for make in (mlp, cnn)]
        print(f"{name:<42}{row[0]:>14.2f}{row[1]:>8.2f}", flush=True)
    row, told = [], []
    for make in (mlp, cnn):
        shares.clear()
        lengths = {"warm": BUDGET_WARM, "steps": BUDGET_STEPS}
        row.append(ratio(probe_within_budget, make, BUDGET_PAIRS, **lengths))
        told.append(1 + statistics.median(shares))
    print(f"{f'layerscope.watch, budget {BUDGET:.0%}':<42}{row[0]:>14.2f}{row[1]:>8.2f}")
    print(f"{'   as it says itself':<42}{told[0]:>14.2f}{told[1]:>8.2f}")


if __name__ == "__main__":
    main()
