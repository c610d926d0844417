"""What dropout leaves of the signal."""

from __future__ import annotations

from layerscope.engine.basis.median import median
from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.step import Outline, Quantity

__all__ = ["dropout"]

DROPPED = 0.9  # of what goes in: half is usual, and what is left is multiplied by ten
LEAST_RECORDS = 3
RECURRENT = frozenset({"RNN", "LSTM", "GRU"})


@training_rule(
    formula=f"a dropout layer is set to make more than {DROPPED:.0%} of what goes in zero, as much "
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
    if history.too_early or history.fares_well:
        return None
    found = []
    for facts in history.facts:
        shares = [s for each in history.recent if (s := _share(each, facts)) is not None]
        if len(shares) >= LEAST_RECORDS and median(shares) > DROPPED:
            since = next(s.number for s in history.steps if (_share(s, facts) or 0.0) > DROPPED)
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
        evidence={"worst_share": share, "layers": len(found)}, threshold={"share": DROPPED},
        since=since, direction="forward",
        fix="# nn.Dropout(p): p is the share that is dropped, 0.1 to 0.5",
    )  # fmt: skip


def _share(step: Outline, facts: ModuleFacts) -> float | None:
    """What the layer drops in a step by its own p, where as much of its output is zero; a recurrent
    one of several layers, between these."""
    said, left = step.said.get(facts.index), step.of(facts.index, Quantity.ACTIVATION)
    if said is not None and said.drops is not None and facts.kind in RECURRENT:
        return said.drops  # between its layers, where nobody sees it
    if said is None or said.drops is None or left is None or left.zeros <= DROPPED * left.count:
        return None
    return said.drops
