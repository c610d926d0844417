"""What is known of a run as a whole, in words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.app.figures.text import age, loss_text, whole
from layerscope.engine.store import Run

__all__ = ["Head", "cost_share", "head"]

MOST_CONFIG = 12
OF_OURS = ("experiment", "training", "from")
"""What the configuration of our own trainings holds; the bar says it."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of the run as a whole."""

    id: str
    name: str
    state: str
    facts: Sequence[tuple[str, str]]


def head(run: Run, modules: int) -> Head:
    """Of a run with so many modules."""
    share = cost_share(run)
    facts = [
        ("state", run.state), ("last step", whole(run.last_step or 0)),
        ("recorded", f"{whole(run.steps)} steps"), ("loss", loss_text(run.last_loss)),
        ("modules", str(modules)), ("begun", age(time.time() - run.created)),
    ]  # fmt: skip
    if share is not None:
        facts.append(("probe's cost", f"{100 * share:.1f} % of step time"))
    told = [(k, v) for k, v in run.config.items() if not (k in OF_OURS and isinstance(v, dict))]
    facts += [(str(k), str(v)[:120]) for k, v in told[:MOST_CONFIG]]
    return Head(run.id, run.name, run.state, facts)


def cost_share(run: Run) -> float | None:
    """Which share of the step time the probe took; None where it did not say."""
    told = run.summary.get("cost")
    share = told.get("share") if isinstance(told, dict) else None
    return share if isinstance(share, float) and share >= 0 else None
