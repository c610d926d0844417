"""Weights that decay away."""

from __future__ import annotations

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.rules.weights import SHRUNK, kept, matrices, shrank

__all__ = ["weight_decay"]


@training_rule(
    formula=f"the loss has not fallen, and most weights have shrunk below {SHRUNK:g} of what they "
    "were",
    source="Krogh & Hertz 1991, A simple weight decay can improve generalization",
    help="A word beside what fades with the weights, where that is found.",
)
def weight_decay(history: History) -> Finding | None:
    """Decay takes more from the weights than the loss gives back."""
    if history.learns or history.too_early or history.broke or not shrank(history):
        return None
    share = kept(history)
    since = next(s.number for s in history.steps if (kept(history, s.number) or 1.0) < SHRUNK)
    return history.finding(
        "weight_decay", "error", [w.module for w in matrices(history)],
        title=f"Most weights have shrunk to {share:.1g} of what they were",
        explanation=f"Over {history.number} steps, while the loss went from "
        f"{history.first_loss or 0.0:.3g} to {history.last_loss or 0.0:.3g}: decay, or a "
        "penalty on them, takes more from them than the loss gives back.",
        evidence={"kept": share}, threshold={"kept": SHRUNK}, since=since,
        fix=_less_decay(history),
    )  # fmt: skip


def _less_decay(history: History) -> str:
    """Of the group whose decay is the highest; of whatever else makes weights
    smaller where none has any."""
    decays = [group.weight_decay or 0.0 for group in history.groups]
    highest = max(decays, default=0.0)
    if decays and not highest:
        return "# less of what makes weights smaller: the optimiser has no weight_decay"
    place = decays.index(highest) if decays else 0
    if not highest:
        return "# a lower weight_decay in the optimiser: 0.01 or less"
    return f"optimizer.param_groups[{place}]['weight_decay'] = 0.01  # was {highest:g}"
