"""A classifier of handwritten digits that does not learn, told why; and its repair, which does.

The loop never sets gradients to zero, so that every step repeats all steps before it.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn

import layerscope


def train(*, zeroes_gradients: bool) -> float:
    """The share of digits that are told right after 60 steps; prints what the probe finds."""
    torch.manual_seed(0)
    digits = load_digits()
    x = torch.tensor(digits.data, dtype=torch.float32) / 8 - 1
    y = torch.tensor(digits.target)
    model = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with layerscope.watch(model, optimizer, loss=nn.CrossEntropyLoss(), to=":memory:") as probe:
        for step in range(60):
            few = slice(step % 7 * 256, step % 7 * 256 + 256)
            if zeroes_gradients:
                optimizer.zero_grad()
            loss = probe.loss(model(x[few]), y[few])
            loss.backward()
            optimizer.step()
            probe.step(loss)
    for finding in probe.findings():
        if finding.severity != "info":
            print(f"{finding.severity} since step {finding.since}: {finding.title}")
            print(f"  {finding.explanation}")
            if finding.fix:
                print(f"  {finding.fix['code']}")
    with torch.no_grad():
        return float((model(x).argmax(1) == y).float().mean())


if __name__ == "__main__":
    torch.set_num_threads(1)
    for repaired in (False, True):
        print("repaired:" if repaired else "as it was:")
        print(f"  {train(zeroes_gradients=repaired):.0%} of the digits told right")
