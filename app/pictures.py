"""A run's picture as numbers: a column of modules a step, the loss, and where findings begin."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from layerscope.app.recorded import Question
from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.series import column, outlined
from layerscope.engine.store import Run, Store
from layerscope.engine.store import Step as StoredStep

__all__ = ["columns", "drawing", "marks", "pictured"]


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
    found = pictured(steps, facts, (quantity,))
    return {**found, "columns": found["columns"][quantity]}


def pictured(
    steps: Sequence[StoredStep], facts: Sequence[Facts], quantities: Iterable[str]
) -> dict[str, Any]:
    """The same of several, whose ``columns`` are by quantity; each step is decoded once."""
    read = [outlined(step) for step in steps]
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
