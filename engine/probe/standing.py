"""What is said of a training that gets nowhere where no cause is seen: what it is not."""

from __future__ import annotations

from layerscope.engine.basis.median import median
from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.history import BETTER, History

__all__ = ["stands_still"]

PATIENCE = 100  # steps
MOVES = 1e-5  # of a weight a step: less has a finding of its own


def stands_still(history: History) -> Finding | None:
    """A note on a loss that has stayed where it began, or where a constant answer is, though the
    weights move."""
    last, baseline = history.last_loss, history.baseline
    if history.number < PATIENCE or history.broke or history.signed or last is None:
        return None
    at_constant = baseline is not None and last >= BETTER * baseline
    if not at_constant and (history.learns or baseline is not None):
        return None
    ratios = [r for w in history.weights() if (r := history.median_ratio(w)) is not None]
    if not ratios or median(ratios) < MOVES:
        return None
    where = "no better than a constant answer's" if at_constant else "where it began"
    return history.finding(
        "not_learning", "info", [],
        title=f"After {history.number} steps the loss is {where}, and no cause is seen",
        explanation=f"A step changes weights by {median(ratios):.1g} of them, and of all that is "
        "looked for in signal, gradients, steps and loss nothing was found. What is left is what "
        "is asked: whether the labels belong to these inputs, whether these hold the answer, and "
        "whether this network can give it.",
        evidence={"update_ratio": median(ratios)}, threshold={"steps": PATIENCE}, since=None,
        fix="# does it fit one batch alone?\n# if so, look at the data; if not, at the network",
    )  # fmt: skip
