"""What the probe does on an accelerator: figures, bits, copies and step times, on a real one.

``python -m benchmarks.probe_gpu`` trains an MLP of 20 × 256 units on the GPU, with and without
``watch(every=1)``, and prints whether the statistics are torch's own, whether the weights end in
the same bits, how often the training's thread waited for the device (PyTorch's own count, by
``torch.cuda.set_sync_debug_mode``), how many copies came over, and what a step took. It ends with
1 where something does not hold, with 0 where there is no GPU.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import layerscope
from layerscope.engine.probe import accelerator
from layerscope.engine.probe.step import Quantity

DEPTH, WIDTH, BATCH = 20, 256, 512
STEPS = 24
WARM = 8
SAID = "called a synchronizing CUDA operation"

Parts = tuple[nn.Module, torch.optim.Optimizer, Tensor, Tensor]


def make() -> Parts:
    """A model, its optimiser and a batch, always of the same bits."""
    torch.manual_seed(0)
    layers = [m for _ in range(DEPTH) for m in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(WIDTH, 1)).cuda()
    optimizer = torch.optim.SGD(model.parameters(), 1e-2, momentum=0.9)
    return model, optimizer, torch.randn(BATCH, WIDTH).cuda(), torch.randn(BATCH, 1).cuda()


def train(steps: int, after: Callable[[Tensor], None], parts: Parts) -> None:
    """Steps that read nothing back themselves."""
    model, optimizer, x, y = parts
    for _ in range(steps):
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        after(loss)


def seconds(steps: int, after: Callable[[Tensor], None], parts: Parts) -> float:
    """Of a step."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    train(steps, after, parts)
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / steps


def waits_of(steps: int, after: Callable[[Tensor], None], parts: Parts) -> int:
    """How often the thread that trains waited; the writing thread's waits are its own."""
    found, trainer = [], threading.get_ident()

    def heard(message: object, *_: object, **__: object) -> None:
        if threading.get_ident() == trainer and SAID in str(message):
            found.append(message)

    torch.cuda.synchronize()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = heard
        torch.cuda.set_sync_debug_mode("warn")
        try:
            train(steps, after, parts)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return len(found)


def largest_difference(probe: Any, first: nn.Module, x: Tensor) -> float:
    """Of mean and std of every output in the first step, relative to torch's."""
    worst, value = 0.0, x
    step = probe.steps()[0]
    with torch.no_grad():
        for index, module in enumerate(first.children()):
            value = module(value)
            s = step.of(index, Quantity.ACTIVATION)
            for told, own in ((s.std, value.double().std()), (s.rms, value.double().norm())):
                expected = float(own) if told is s.std else float(own) / value.numel() ** 0.5
                worst = max(worst, abs(told - expected) / expected)
    return worst


def main() -> int:
    """Print the table."""
    if not torch.cuda.is_available():
        print("no GPU here: nothing was measured")
        return 0
    copies: list[int] = []
    fetch = accelerator.fetch

    def counted(buffer: Tensor, ready: object) -> object:
        copies.append(buffer.numel() * 8)
        return fetch(buffer, ready)

    accelerator.fetch = counted
    alone = make()
    train(WARM + STEPS, lambda loss: None, alone)
    parts = make()
    first = make()[0]
    plain = seconds(STEPS, lambda loss: None, make())
    with layerscope.watch(parts[0], parts[1], every=1, to=":memory:") as probe:
        train(WARM, probe.step, parts)
        probe.findings()
        copies.clear()
        waits = waits_of(STEPS, probe.step, parts)
        steps = len(probe.steps())
        brought = len(copies)
    same = all(torch.equal(a, b) for a, b in zip(alone[0].parameters(), parts[0].parameters()))  # noqa: B905
    worst = largest_difference(probe, first, parts[2])
    other = make()
    with layerscope.watch(other[0], other[1], every=1, to=":memory:") as timed:
        train(WARM, timed.step, other)
        every_step = seconds(STEPS, timed.step, other)
    within = make()
    with layerscope.watch(within[0], within[1], to=":memory:") as paced:
        train(200, paced.step, within)
        budget = seconds(400, paced.step, within)
        cost = paced.cost()
    holds = {
        "the probe went on": probe.error is None and timed.error is None and paced.error is None,
        "weights end in the same bits": same,
        f"statistics are torch's (largest difference {worst:.1e})": worst < 1e-5,
        f"waits of the training's thread: {waits} in {STEPS} steps": waits == 0,
        f"copies: {brought} in {STEPS} steps, {copies[-1] / 1e6:.2f} MB each": brought == STEPS,
        f"steps recorded: {steps}": steps == WARM + STEPS,
    }
    print(torch.cuda.get_device_name(), torch.__version__)
    for what, held in holds.items():
        print(f"{'yes' if held else 'NO ':<4}{what}")
    print(f"a step takes {plain * 1e3:.2f} ms; recorded {every_step / plain:.2f} times that, "
          f"within 5 % {budget / plain:.2f} times (every {cost['interval']} steps)")  # fmt: skip
    for each in (probe, timed, paced):
        if each.error is not None:
            print(repr(each.error))
    return 0 if all(holds.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
