"""Codes that tell nothing of what they stand for."""

from __future__ import annotations

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.rules.oddities import holder, oddity
from layerscope.engine.probe.step import Outline, Quantity

__all__ = ["posterior_collapse"]

NATS = 0.01  # of a number of the code: what it tells of a sample is as good as nothing
PATIENCE = 100  # steps: at first a code may tell nothing until its reader has learned to read
LEAST_RECORDS = 3
RISEN = 1.5  # times what it was among the last records: it has begun to tell something


@training_rule(
    formula="a code that is drawn, by a mean and the exponential of something, both given by "
    f"layers, and that the loss holds near a normal distribution, tells less than {NATS:g} nats by "
    f"each of its numbers, in the last {LEAST_RECORDS} recorded steps or more, after {PATIENCE}, "
    "and not more and more",
    source="Bowman et al. 2016, Generating sentences from a continuous space; Kingma & Welling "
    "2014: KL = ½ Σ (μ² + σ² − 1 − ln σ²)",
    help="Of the means' and the logarithms' size, over all numbers of the code: one of which some "
    "are not used is no fault.",
    explains=("rank_collapse", "constant_output", "vanishing_gradient", "learning_rate_low",
              "vanishing_activation"),
)  # fmt: skip
def posterior_collapse(history: History) -> Finding | None:
    """The code of an autoencoder has become noise."""
    places = [oddity(history, what) for what in ("latent mean", "latent spread")]
    layers = [holder(history, each[1].behind) for each in places if each is not None]
    if len(layers) < 2 or None in layers or history.number < PATIENCE or history.signed:
        return None
    mean, spread = (each for each in layers if each is not None)
    told = [n for step in history.recent if (n := _told(step, mean, spread)) is not None]
    if len(told) < LEAST_RECORDS or max(told) > NATS or told[-1] > RISEN * min(told[:-1]):
        return None
    where = [mean] if mean is spread else [mean, spread]
    return history.finding(
        "posterior_collapse", "warning", where,
        title="The code tells nothing of what it stands for: its posterior has collapsed",
        explanation=f"What {' and '.join(each.name or each.kind for each in where)} give as mean "
        f"and logarithm of the spread is about 0 whatever goes in: {told[-1]:.2g} nats a number. "
        "All that is left of the code is noise, which the decoder learns to leave alone.",
        evidence={"nats": told[-1]}, threshold={"nats": NATS},
        since=history.recent[0].number, direction="forward",
        fix="loss = reconstruction.flatten(1).sum(1).mean() + beta * kl.sum(1).mean()"
        "  # both sums over a sample's numbers; beta from 0 to 1",
    )  # fmt: skip


def _told(step: Outline, mean: ModuleFacts, spread: ModuleFacts) -> float | None:
    """About how much a number of the code tells, in nats: to second order, where it is little."""
    known = [step.of(each.index, Quantity.ACTIVATION) for each in (mean, spread)]
    sizes = [each.rms for each in known if each is not None and each.rms is not None]
    return (sizes[0] ** 2 + sizes[1] ** 2 / 2) / 2 if len(sizes) == 2 else None
