"""What is known of a run as a whole, in words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.app.configs import cut, leaves, value_words
from layerscope.app.figures.text import age, loss_text, moment, whole
from layerscope.engine.store import Run

__all__ = ["Head", "cost_share", "head", "saved_head"]

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
    """Of a run with so many modules, as it is now; with the first of its settings."""
    own = {k: v for k, v in run.config.items() if not (k in OF_OURS and isinstance(v, dict))}
    told = list(leaves(own))
    first = [(name, str(cut([value_words(value)])[0])) for name, value in told[:MOST_CONFIG]]
    facts = [("begun", age(time.time() - run.created)), *first]
    if len(told) > MOST_CONFIG:
        facts.append(("more settings", str(len(told) - MOST_CONFIG)))
    return _head(run, modules, facts)


def saved_head(run: Run, modules: int) -> Head:
    """The same for a file, which is read at any time: nothing in it is relative to now."""
    times = (("begun", run.created), ("last heard of", run.updated), ("saved", time.time()))
    return _head(run, modules, [(name, moment(seconds)) for name, seconds in times])


def _head(run: Run, modules: int, more: Sequence[tuple[str, str]]) -> Head:
    share = cost_share(run)
    facts = [
        ("state", run.state), ("last step", whole(run.last_step or 0)),
        ("recorded", f"{whole(run.steps)} steps"), ("loss", loss_text(run.last_loss)),
        ("modules", str(modules)),
    ]  # fmt: skip
    if share is not None:
        facts.append(("probe's cost", f"{100 * share:.1f} % of step time"))
    return Head(run.id, run.name, run.state, [*facts, *more])


def cost_share(run: Run) -> float | None:
    """Which share of the step time the probe took; None where it did not say."""
    told = run.summary.get("cost")
    share = told.get("share") if isinstance(told, dict) else None
    return share if isinstance(share, float) and share >= 0 else None
