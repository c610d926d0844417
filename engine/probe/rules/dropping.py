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


@training_rule(
    formula=f"a dropout layer sets more than {DROPPED:.0%} of what goes in to zero, and the loss "
    "has not come down by half",
    source="Srivastava et al. 2014, Dropout, section 7.3: beyond a half there is underfitting",
    help="Counted in the outputs, against the entries that had not been zero before. A network "
    "that fares well all the same is not accused.",
    explains=("constant_output", "learning_rate_high", "learning_rate_low", "rank_collapse",
              "dead_units", "vanishing_gradient", "vanishing_activation"),
)  # fmt: skip
def dropout(history: History) -> Finding | None:
    """So little is left that nothing can be learned of it."""
    if history.too_early or history.fares_well:
        return None
    found = [
        (facts, median(shares))
        for before, facts in zip(history.facts, history.facts[1:], strict=False)
        if "Dropout" in facts.kind and before.shape == facts.shape
        and len(shares := _shares(history, before, facts)) >= LEAST_RECORDS
        and median(shares) > DROPPED
    ]  # fmt: skip
    if not found:
        return None
    worst, share = max(found, key=lambda pair: pair[1])
    return history.finding(
        "dropout", "warning" if history.learns else "error", [facts for facts, _ in found],
        title=f"{worst.name or worst.kind} drops {share:.0%} of the signal",
        explanation=f"So much of what goes in comes out as zero, and the rest is multiplied by "
        f"{1 / max(1 - share, 1e-3):.0f}: what is left differs from step to step more than from "
        "sample to sample.",
        evidence={"worst_share": share, "layers": len(found)}, threshold={"share": DROPPED},
        since=_since(history, worst), direction="forward",
        fix="# nn.Dropout(p): p is the share that is dropped, 0.1 to 0.5",
    )  # fmt: skip


def _shares(history: History, before: ModuleFacts, facts: ModuleFacts) -> list[float]:
    """Of what goes into a layer how much is zero behind it, in the recent steps."""
    return [s for step in history.recent if (s := _share(step, before, facts)) is not None]


def _since(history: History, facts: ModuleFacts) -> int:
    """The first recorded step in which the layer dropped so much."""
    before = next(f for f in history.facts if f.index == facts.index - 1)
    return next(
        step.number for step in history.steps
        if (share := _share(step, before, facts)) is not None and share > DROPPED
    )  # fmt: skip


def _share(step: Outline, before: ModuleFacts, facts: ModuleFacts) -> float | None:
    said = step.said.get(facts.index)
    entered = step.of(before.index, Quantity.ACTIVATION)
    left = step.of(facts.index, Quantity.ACTIVATION)
    if said is None or not said.training or entered is None or left is None:
        return None
    came = entered.count - entered.zeros
    if left.count != entered.count or not came:
        return None
    return max(0.0, 1 - (left.count - left.zeros) / came)
