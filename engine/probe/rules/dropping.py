"""What dropout leaves of the signal."""

from __future__ import annotations

import math

from layerscope.engine.basis.median import median
from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.step import Outline, Quantity

__all__ = ["dropout"]

DROPPED = 0.9  # of what goes in: half is usual, and what is left is multiplied by ten
MUCH = 0.7  # of what goes in, where nothing is learned in a hundred steps
PATIENCE = 100
LEAST_RECORDS = 3
RECURRENT = frozenset({"RNN", "LSTM", "GRU"})


@training_rule(
    formula=f"a dropout layer is set to make more than {DROPPED:.0%} of what goes in zero "
    f"({MUCH:.0%} where nothing is learned in {PATIENCE} steps), as much "
    "of its output is, or a recurrent one of several layers between these, and the loss has not "
    "come down by half",
    source="Srivastava et al. 2014, Dropout, section 7.3: beyond a half there is underfitting",
    help="By the layer's own p: what was zero before it is not dropped. A network that fares well "
    "all the same is not accused.",
    explains=("constant_output", "learning_rate_high", "learning_rate_low", "rank_collapse",
              "dead_units", "vanishing_gradient", "vanishing_activation"),
)  # fmt: skip
def dropout(history: History) -> Finding | None:
    """So little is left that nothing can be learned of it."""
    if history.too_early:
        return None
    signal = None if history.fares_well else _drops_signal(history)
    return signal or _drops_answers(history)


def _drops_answers(history: History) -> Finding | None:
    """A dropout layer that comes last, whose output is given to the loss as it is."""
    last = history.last_module
    made = history.made_of
    said = history.steps[-1].said.get(last.index) if last is not None else None
    if last is None or made is None or said is None or last.kind in RECURRENT:
        return None
    drops = said.drops
    if not drops or made.given != "product" or math.prod(made.output) != math.prod(said.shape):
        return None
    return history.finding(
        "dropout", "warning" if history.hinders else "info", [last],
        title=f"{_who(last)} comes last: {drops:.0%} of the answers are made zero",
        explanation=f"{made.loss} is given them as they are: in every step another {drops:.0%} of "
        f"the answers are 0 and the rest are multiplied by {1 / max(1 - drops, 1e-3):.3g}, "
        "whatever the network says.",
        evidence={"share": drops, "loss": made.loss}, threshold={},
        since=history.steps[0].number, direction="forward",
        fix="# no dropout behind the last layer",
    )  # fmt: skip


def _who(facts: ModuleFacts) -> str:
    return f"{facts.kind} {facts.name}".strip()


def _drops_signal(history: History) -> Finding | None:
    """A layer that leaves next to nothing, or little to a network that learns nothing."""
    stands = not history.learns and history.number >= PATIENCE
    least = MUCH if stands else DROPPED
    found = []
    for facts in history.facts:
        shares = [s for each in history.recent if (s := _share(each, facts, least)) is not None]
        if len(shares) >= LEAST_RECORDS and median(shares) > least:
            told = (s.number for s in history.steps if (_share(s, facts, least) or 0.0) > least)
            since = next(told)
            found.append((facts, median(shares), since))
    if not found:
        return None
    worst, share, since = max(found, key=lambda each: each[1])
    return history.finding(
        "dropout", "warning" if history.learns else "error", [facts for facts, _, _ in found],
        title=f"{worst.name or worst.kind} drops {share:.0%} of the signal",
        explanation=f"So much of what goes in is made zero, and the rest is multiplied by "
        f"{1 / max(1 - share, 1e-3):.0f}: what is left differs from step to step more than from "
        "sample to sample.",
        evidence={"worst_share": share, "layers": len(found)}, threshold={"share": least},
        since=since, direction="forward",
        fix="# nn.Dropout(p): p is the share that is dropped, 0.1 to 0.5",
    )  # fmt: skip


def _share(step: Outline, facts: ModuleFacts, least: float) -> float | None:
    """What the layer drops in a step by its own p, where as much of its output is zero; a recurrent
    one of several layers, between these."""
    said, left = step.said.get(facts.index), step.of(facts.index, Quantity.ACTIVATION)
    if said is not None and said.drops is not None and facts.kind in RECURRENT:
        return said.drops  # between its layers, where nobody sees it
    if said is None or said.drops is None or left is None or left.zeros <= least * left.count:
        return None
    return said.drops
