"""A training that is recorded: in this process, or as a program that goes on when it is told to.

python -m tests.browser.training FILE
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

import layerscope

__all__ = ["BROKEN", "Training", "train"]

TOP = Path(__file__).resolve().parents[2]
BROKEN = [(5, 0.05), (5, 0.05), (8, 1e15)]
"""Ten steps that learn, and eight that end in NaN."""


def train(to: str | Path, stretches: Iterable[tuple[int, float]], name: str = "tiny") -> None:
    """Of each stretch so many steps at this learning rate, every one of them recorded."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is not finite, which is the point
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        x = torch.randn(32, 6)
        with layerscope.watch(model, optimizer, to=to, name=name, every=1) as probe:
            for steps, rate in stretches:
                optimizer.param_groups[0]["lr"] = rate
                for _ in range(steps):
                    loss = (model(x) - x[:, :1]).square().mean()
                    loss.backward()
                    optimizer.step()
                    optimizer.zero_grad()
                    probe.step(loss)


class Training:
    """The same in a process of its own."""

    def __init__(self, to: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.browser.training", str(to)],
            cwd=TOP, stdin=subprocess.PIPE, text=True,
        )  # fmt: skip

    def steps(self, count: int, rate: float) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{count} {rate}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


if __name__ == "__main__":
    lines = (line.split() for line in sys.stdin)
    train(sys.argv[1], ((int(count), float(rate)) for count, rate in lines))
