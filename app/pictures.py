"""A run's picture as numbers: a column of modules a step, the loss, and where findings begin."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from layerscope.app.figures.strip import lost
from layerscope.app.recorded import Question
from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.glance import Glance
from layerscope.engine.probe.series import column, outlined
from layerscope.engine.probe.step import Quantity
from layerscope.engine.store import Run, Store
from layerscope.engine.store import Step as StoredStep

__all__ = ["columns", "drawing", "marks", "pictured"]

ACTIVATION, GRADIENT = Quantity.ACTIVATION, Quantity.GRADIENT


def drawing(
    store: Store, run: Run, facts: Sequence[Facts], findings: Sequence[Any], wanted: Question
) -> dict[str, Any]:
    """All of it as it is now; ``after`` is where to follow the run from."""
    steps = store.steps(run.id, wanted.start, wanted.stop, points=wanted.points)
    return {
        "quantity": wanted.quantity,
        "modules": [f.name for f in facts],
        "after": run.sequence,
        "marks": marks(findings),
        **columns(steps, facts, wanted.quantity),
    }


def marks(findings: Sequence[Any]) -> list[list[Any]]:
    """Step, severity and title of each finding that has a beginning."""
    return [
        [f["since"], str(f.get("severity", "info")), str(f.get("title", ""))]
        for f in findings
        if isinstance(f.get("since"), int)
    ]


def columns(steps: Sequence[StoredStep], facts: Sequence[Facts], quantity: str) -> dict[str, Any]:
    """``faults`` has, for each step, the places of the modules with entries that are not finite;
    ``lost`` says whether the loss is not."""
    found = _pictured(steps, [outlined(step) for step in steps], facts, (quantity,))
    return {**found, "columns": found["columns"][quantity]}


def pictured(
    steps: Sequence[StoredStep], facts: Sequence[Facts], quantities: Iterable[str]
) -> dict[str, Any]:
    """The same of several, whose ``columns`` are by quantity; each step is decoded once. ``parts``
    has, for each step, those of its ``faults`` that are in a module's output or the gradient there:
    the module's place, and what is lost of the two."""
    read = [outlined(step) for step in steps]
    found = _pictured(steps, read, facts, quantities)
    found["parts"] = [
        [
            [place, *parts]
            for place in faults
            if step and any(parts := [
                lost(step.of(facts[place].index, q)) for q in (ACTIVATION, GRADIENT)
            ])
        ]
        for step, faults in zip(read, found["faults"], strict=True)
    ]  # fmt: skip
    return found


def _pictured(
    steps: Sequence[StoredStep], read: Sequence[Glance | None], facts: Sequence[Facts],
    quantities: Iterable[str],
) -> dict[str, Any]:  # fmt: skip
    return {
        "steps": [step.number for step in steps],
        "loss": [step.loss for step in steps],
        "lost": [step.loss is not None and not math.isfinite(step.loss) for step in steps],
        "columns": {name: [column(name, step, facts) for step in read] for name in quantities},
        "faults": [
            [i for i, count in enumerate(column("nonfinite", step, facts)) if count]
            if stored.nonfinite
            else []
            for stored, step in zip(steps, read, strict=True)
        ],
    }
