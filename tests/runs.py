"""Parts of runs, for tests of whoever writes or reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

import layerscope
from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.probe import Probe
from layerscope.engine.probe.step import Quantity, Slot, Step
from layerscope.engine.statistics import Histogram, Statistics
from layerscope.engine.store import Batch, Store
from layerscope.engine.store.entries import (
    Findings,
    Finish,
    Modules,
    Start,
    StepEntry,
    StoredFinding,
)

__all__ = ["HOSTILE_MODULE", "facts", "recorded_run", "statistics", "trained"]

HOSTILE_MODULE = '<a href="/taken">&lt;b</a>'
"""A module's name that is markup to a page, and to Plotly."""


def facts(count: int) -> list[Facts]:
    """Of so many modules."""
    return [
        Facts(index, f"block.{index}.linear", "Linear", "linear_map", (8, 4), "float32")
        for index in range(count)
    ]


def statistics(std: float) -> Statistics:
    """Of two entries; one of them is NaN where ``std`` is."""
    nan = math.isnan(std)
    figures = (None if nan else std, *(1.0 if nan else v for v in (std, -std, std)))
    return Statistics(2, 1 if nan else 2, 0.0, *figures, 0, 0, int(nan), 0, 0,
                      Histogram(0, [1], [0 if nan else 1]))  # fmt: skip


def trained(
    model: nn.Module, to: Any, steps: int, breaks: tuple[int, float] | None = None
) -> Probe:
    """A real training's probe, every step recorded; ``breaks``: in which step the first weight's
    first entry becomes what."""
    dtype = next(model.parameters()).dtype
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with layerscope.watch(model, optimizer, to=to, every=1) as probe:
        for number in range(1, steps + 1):
            if breaks is not None and number == breaks[0]:
                with torch.no_grad():
                    next(model.parameters()).view(-1)[0] = breaks[1]
            loss = model(torch.randn(8, 4, dtype=dtype)).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.step(loss)
    return probe


def recorded_run(
    store: Store, run: str, config: dict[str, Any], stds: Sequence[Sequence[float | None]],
    *, name: str = "", finding: str = "", modules: Sequence[Facts] = (),
) -> None:  # fmt: skip
    """A finished run whose step n has these stds of the modules' outputs, and a loss of 1/n, NaN
    where a std is; None was not recorded."""
    entries: list[Any] = [Start(name or run, config, 0.0)]
    known_facts = modules or facts(len(stds[0]) if stds else 0)
    entries.append(Modules([f.to_bytes() for f in known_facts]))
    for number, row in enumerate(stds, 1):
        known = [(i, s) for i, s in enumerate(row) if s is not None]
        loss = math.nan if any(math.isnan(s) for _, s in known) else 1 / number
        slots = [Slot(i, Quantity.ACTIVATION) for i, _ in known]
        step = Step(number, 0.0, loss, [0.1], slots, [statistics(s) for _, s in known], [])
        entries.append(StepEntry(number, 0.0, loss, step.to_bytes()))
    if finding:
        told = {"rule": finding, "severity": "error", "title": "found", "modules": []}
        entries.append(Findings([StoredFinding("error", "found", told)], whole=True))
    store.append(run, Batch(1, [*entries, Finish("finished", 0.0)]))
