"""Labels that tell nothing, or tell it in an order from which nothing is learned."""

from __future__ import annotations

import math

from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.step import Task

__all__ = ["one_class"]

LEAST_BATCH = 8  # labels that are all alike by chance in none of a training's looks
LEAST_LOOKS = 4
MOSTLY = 0.9  # of the looks
OF_LAYERS = frozenset({"linear", "softmax", "log_softmax", "relu", "tanh", "sigmoid"})
"""What makes an answer that has a class of its own. Scores of pairs, the right one put first, have
none: all their labels are 0."""


@training_rule(
    formula=f"of {LEAST_BATCH} labels or more all are of one class, in {MOSTLY:.0%} of "
    f"{LEAST_LOOKS} looks or more at a loss that is called through the probe: of the same one (a "
    "note where the scores are of no layer, but of pairs), or of one after another",
    source="Bottou 2012, Stochastic gradient descent tricks: shuffle the examples",
    help="Sorted by class, data teach each step what the one before is to forget; the loss of a "
    "single class is soon low.",
    explains=("constant_output", "learning_rate_high", "learning_rate_low", "rank_collapse",
              "vanishing_gradient", "dead_units"),
)  # fmt: skip
def one_class(history: History) -> Finding | None:
    """Every batch holds a single class."""
    looks = [(s.number, s.task) for s in history.steps if s.task is not None and _labels(s.task)]
    alike = [(n, t.lowest) for n, t in looks if t.lowest == t.highest]
    last = history.last_module
    if last is None or len(alike) < LEAST_LOOKS or len(alike) < MOSTLY * len(looks):
        return None
    classes = {label for _, label in alike}
    same = len(classes) == 1
    (label,) = classes if same else (None,)
    severity: Severity = "warning" if history.learns else "error"
    if same and history.made_of is not None and history.made_of.given not in OF_LAYERS:
        severity = "info"
    return history.finding(
        "one_class", severity, [last],
        title=f"All labels are {label:.0f}, in every batch" if label is not None
        else "Every batch holds labels of a single class",
        explanation=f"In {len(alike)} of {len(looks)} looks all {math.prod(looks[-1][1].target)} "
        "labels were the same" + (
            ": there is nothing to tell apart." if same
            else f", of {len(classes)} classes one after another: each step teaches the network "
            "to answer with one of them, and to forget the others."
        ),
        evidence={"looks": len(alike), "classes": len(classes)},
        threshold={"looks": LEAST_LOOKS, "share": MOSTLY}, since=alike[0][0], direction="forward",
        fix="# look where labels are made: division, rounding, a filter" if same
        else "loader = torch.utils.data.DataLoader(dataset, batch_size=…, shuffle=True)",
    )  # fmt: skip


def _labels(task: Task) -> bool:
    """Whether it was asked for classes."""
    return (
        task.own
        and task.target_dtype.startswith("int")
        and math.prod(task.target) >= LEAST_BATCH
        and not task.entry_by_entry
    )
