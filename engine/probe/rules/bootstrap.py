"""Targets that move with what is held against them."""

from __future__ import annotations

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.history import SETTLED, History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.rules.oddities import holder, oddity, severity_of

__all__ = ["bootstrapped_target"]


@training_rule(
    formula="what a network answers is held against a constant and a share of what it answers to "
    "something else, and a gradient goes through both (a note, unless that is the largest of "
    "several answers, as of actions, or the loss has not come down by half)",
    source="Sutton & Barto 2018, Reinforcement learning, section 11.5; Baird 1995, Residual "
    "algorithms",
    help="A loss that falls tells nothing of such targets. By the gradient of both sides the value "
    "after a step is drawn to the one before it, as much as the other way round.",
    explains=("learning_rate_low",),
)
def bootstrapped_target(history: History) -> Finding | None:
    """A target that is made by the network itself gets a gradient."""
    seen = oddity(history, "bootstrapped")
    if seen is None:
        return None
    since, odd = seen
    where = holder(history, odd.behind)
    name = "the network" if where is None else where.name or where.kind
    severity = severity_of(history)
    if odd.after and history.number >= SETTLED and severity == "info":
        severity = "warning"  # of such a loss it tells nothing that it falls
    return history.finding(
        "bootstrapped_target", severity, [] if where is None else [where],
        title=f"The targets are made by {name} itself, and get a gradient",
        explanation=f"The loss holds what {name} gives against a constant, as a reward, and a "
        "share of what it gives for something else, as a next state; by the gradient of both "
        "the target is moved to the answer too.",
        evidence={"shape": list(odd.before)}, threshold={}, since=since, direction="backward",
        fix="target = target.detach()  # or made under torch.no_grad(), by a network that is kept",
    )  # fmt: skip
