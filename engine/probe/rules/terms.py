"""Terms of a loss that leave nothing of the others."""

from __future__ import annotations

import math

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.rules.oddities import holder, oddity
from layerscope.engine.probe.rules.weights import shrank
from layerscope.engine.probe.step import Quantity

__all__ = ["drowned_term"]

PATIENCE = 100  # steps, after which a cross entropy has come below that of equal chances
BARELY = 0.1  # of ln K: so near to each other are the logits that their cross entropy is about that
MOSTLY = 3.0  # times ln K at first: the larger part of the loss is the penalty
SHARE = 1e-3  # of the loss: what is a thousandth of it moves no shared weight
LEAST_LOSSES = 8


@training_rule(
    formula="to a mean cross entropy of K classes a penalty on weights alone is added, and after "
    f"{PATIENCE} steps all logits lie within {BARELY:g} ln K, where the loss began at {MOSTLY:g} "
    "ln K or most weights have shrunk to a tenth; or a mean of distances, beside which "
    f"the cross entropy is at most {SHARE:g} of the loss, by the range of its logits, in all of "
    f"the last {LEAST_LOSSES} steps",
    source="Kendall, Gal & Cipolla 2018, Multi-task learning using uncertainty to weigh losses; "
    "of logits z it holds ln K − (max z − min z) ≤ cross entropy ≤ ln K + max z − min z",
    help="By the loss's graph, also where the loss is not called through the probe. A cross "
    "entropy with a factor of its own is left alone: somebody has weighed it.",
    explains=("constant_output", "weight_decay", "learning_rate_high", "learning_rate_low",
              "rank_collapse", "vanishing_activation", "vanishing_gradient", "dead_units",
              "exploding_gradient"),
)  # fmt: skip
def drowned_term(history: History) -> Finding | None:
    """One term of the loss leaves nothing of another."""
    if history.number < PATIENCE or history.broke:
        return None
    return _penalty(history) or _distance(history)


def _logits(history: History, what: str) -> tuple[int, ModuleFacts, int, float] | None:
    """Since when such a term is known of, the layer that gives the logits, how many classes, and
    how far apart these have last been."""
    seen = oddity(history, what)
    layer = None if seen is None else holder(history, seen[1].behind)
    if seen is None or layer is None or not history.steps:
        return None
    output = history.steps[-1].of(layer.index, Quantity.ACTIVATION)
    if output is None or output.min is None or output.max is None:
        return None
    return seen[0], layer, seen[1].before[0], output.max - output.min


def _penalty(history: History) -> Finding | None:
    known = _logits(history, "penalty")
    if known is None:
        return None
    since, layer, classes, apart = known
    if classes < 2 or apart > BARELY * math.log(classes):
        return None
    if (history.began_at or 0.0) < MOSTLY * math.log(classes) and not shrank(history):
        return None  # the penalty was not what moved the weights
    seen = oddity(history, "penalty")
    many = seen[1].after[0] if seen else 0
    return history.finding(
        "drowned_term", "error", [layer],
        title="The penalty on the weights leaves nothing of the cross entropy",
        explanation=f"The loss is a cross entropy and a penalty on {many} parameters. It went from "
        f"{history.began_at or 0.0:.3g} to {history.last_loss or 0.0:.3g}, and after "
        f"{history.number} steps all logits lie within {apart:.2g} of one another: the cross "
        f"entropy is that of {classes} equal chances, {math.log(classes):.3g}.",
        evidence={"logits_apart": apart, "parameters": many},
        threshold={"logits_apart": BARELY * math.log(classes)}, since=since,
        fix="loss = cross_entropy + 1e-5 * penalty  # a far smaller factor",
    )  # fmt: skip


def _distance(history: History) -> Finding | None:
    known = _logits(history, "distance")
    losses = [v for _, v in history.losses][-LEAST_LOSSES:]
    if known is None or len(losses) < LEAST_LOSSES:
        return None
    since, layer, classes, apart = known
    most = math.log(max(classes, 2)) + apart
    if most > SHARE * min(losses):
        return None
    return history.finding(
        "drowned_term", "warning", [layer],
        title=f"The cross entropy is at most {most / min(losses):.1g} of the loss",
        explanation=f"By the range of its logits, {apart:.3g}, it is no more than {most:.3g}; the "
        f"loss is {history.last_loss or 0.0:.3g}, nearly all of it the mean of distances that is "
        "added: weights that both share follow that one alone.",
        evidence={"share": most / min(losses), "logits_apart": apart},
        threshold={"share": SHARE}, since=since,
        fix="target = (target - target.mean()) / target.std()  # of the distances",
    )  # fmt: skip
