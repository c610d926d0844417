"""Attention whose scores are too far apart for a softmax."""

from __future__ import annotations

import math

from layerscope.engine.basis.median import median
from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.rules.oddities import holder, oddity
from layerscope.engine.probe.step import Quantity

__all__ = ["attention_scale"]

APART = 8.0  # std of scores: e to that is how many times one weight is another's, which is all
LEAST_RECORDS = 3


@training_rule(
    formula="products of queries and keys, both as layers give them, go into a softmax without a "
    f"factor; by the rms of both and their width their std is about {APART:g} or more, in the last "
    "recorded steps, and the loss has not come down by half",
    source="Vaswani et al. 2017, Attention is all you need, section 3.2.1: divided by √d",
    help="Without the factor attention is no fault, as long as queries or keys are small.",
    explains=("vanishing_gradient", "learning_rate_low", "rank_collapse", "constant_output"),
)
def attention_scale(history: History) -> Finding | None:
    """Scores of attention that are not scaled down, and too large."""
    seen = oddity(history, "unscaled queries")
    other = oddity(history, "unscaled keys")
    if seen is None or other is None or not history.hinders:
        return None
    since, odd = seen
    queries, keys = holder(history, odd.behind), holder(history, other[1].behind)
    if queries is None or keys is None:
        return None
    apart = _apart(history, queries, keys, odd.after[0])
    if apart is None or apart < APART:
        return None
    width = odd.after[0]
    return history.finding(
        "attention_scale", "warning", [queries] if queries is keys else [queries, keys],
        title=f"Scores of attention are not scaled down: their std is about {apart:.2g}",
        explanation=f"Products of {width} numbers each go into the softmax as they are. By the rms "
        f"of {queries.name} and {keys.name} they differ so much that one key gets nearly all of "
        "the weight, and hardly a gradient comes back to either.",
        evidence={"scores_std": apart, "width": width}, threshold={"scores_std": APART},
        since=since, direction="forward",
        fix=f"scores = queries @ keys.transpose(-2, -1) / {width} ** 0.5",
    )  # fmt: skip


def _apart(
    history: History, queries: ModuleFacts, keys: ModuleFacts, width: int
) -> float | None:  # fmt: skip
    """The std of products of independent queries and keys, as their layers last gave them."""
    sizes = [
        (q.rms * k.rms) for s in history.recent
        if (q := s.of(queries.index, Quantity.ACTIVATION)) and q.rms is not None
        and (k := s.of(keys.index, Quantity.ACTIVATION)) and k.rms is not None
    ]  # fmt: skip
    return math.sqrt(width) * median(sizes) if len(sizes) >= LEAST_RECORDS else None
