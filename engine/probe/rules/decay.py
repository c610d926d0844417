"""Weights that decay away."""

from __future__ import annotations

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.rules.weights import SHRUNK, kept, matrices, shrank

__all__ = ["weight_decay"]

DECOUPLED = frozenset({"AdamW"})
"""Whose decay is taken from the weights themselves: of an entry that every step moves one way by
the rate, 1/decay is what is left in the end."""
MOST_LEFT = 0.1
"""So little is below the weights that layers are drawn with; the usual decays leave 10 to 100."""
HALVED = 3.0
"""Times that, in sum, decay would have taken of the weights, before it has come to this."""


@training_rule(
    formula=f"the loss has not fallen, and most weights have shrunk below {SHRUNK:g} of what they "
    f"were; or the loss has not come down by half, and AdamW's decay leaves entries of "
    f"{MOST_LEFT:g} at most, and has taken {HALVED:g} times what there is",
    source="Krogh & Hertz 1991, A simple weight decay can improve generalization; Loshchilov & "
    "Hutter 2019, Decoupled weight decay regularization",
    help="A word beside what fades with the weights, where that is found.",
)
def weight_decay(history: History) -> Finding | None:
    """Decay takes more from the weights than the loss gives back."""
    if history.too_early or history.broke:
        return None
    if history.learns or not shrank(history):
        return _small_at_best(history)
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


def _small_at_best(history: History) -> Finding | None:
    """AdamW's decay leaves next to nothing of any weight."""
    rates = next((s.learning_rates for s in reversed(history.steps) if s.learning_rates), [])
    groups = history.groups
    if history.fares_well or len(rates) != len(groups):
        return None
    found = [
        (decay, rate) for rate, g in zip(rates, groups, strict=True)
        if g.kind in DECOUPLED and (decay := g.weight_decay or 0.0) * MOST_LEFT >= 1
        and rate * decay * history.number >= HALVED
    ]  # fmt: skip
    if not found:
        return None
    decay, rate = max(found)
    return history.finding(
        "weight_decay", "warning" if history.learns else "error",
        [w.module for w in matrices(history)],
        title=f"Every step takes {rate * decay:.0%} of the weights away",
        explanation=f"AdamW's decay of {decay:g} at a rate of {rate:g}: an entry that all steps "
        f"move the same way comes to {1 / decay:.1g} and no further. The loss went from "
        f"{history.first_loss or 0.0:.3g} to {history.last_loss or 0.0:.3g} over "
        f"{history.number} steps.",
        evidence={"weight_decay": decay, "learning_rate": rate},
        threshold={"most_left": MOST_LEFT, "taken": HALVED}, since=1, fix=_less_decay(history),
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
