"""Learning rates that are too high, judged by what the optimiser really does to the weights."""

from __future__ import annotations

import math
from collections.abc import Callable

from layerscope.engine.basis.median import median
from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.history import BETTER, SETTLED, History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.rules.weights import (
    HIGH,
    SHRUNK,
    USUAL,
    WHOLE,
    better_rate,
    drawn_as,
    matrices,
    rate_of,
    shrank,
)

__all__ = ["learning_rate_high"]

PATIENCE = 100  # steps that a slow training is given first: so long a fine-tuning may seem to stand
MANIFOLD = 10.0  # of what the weights are: one such step is enough
MOSTLY = 0.5  # of the recorded steps are too large, where the loss has not risen by them
ABSURD = 1e6  # rms(∂L/∂w)/rms(w) under plain descent: no rate that anybody gives makes up for it
THROWN = 100.0  # times the first loss: no noise goes so far
MOST_MOMENTUM = 0.99  # of plain descent: a hundred steps add up
BY_OWN_SCALE = frozenset({"SGD", "RMSprop"})  # whose momentum is not divided out again


@training_rule(
    formula=f"the loss rises by a fifth or more, or does not fall in {SETTLED} steps, while the "
    f"median of rms(Δw)/rms(w) over the weights is above {HIGH:g}, or was {WHOLE:g} or more in a "
    f"step; or it has come to stand above {BETTER:g} of a constant answer's. Not where most "
    f"weights have shrunk below {SHRUNK:g} of what they were",
    source="Karpathy 2019, A recipe for training neural networks; Bottou 2012",
    help="A thousandth is usual. A large ratio alone is no fault: small weights move fast. Steps "
    "too large make weights larger: what makes them small is their decay.",
    explains=("nonfinite", "exploding_activation", "exploding_gradient", "dead_units", "saturation",
              "output_scale", "mean_shift", "rank_collapse", "vanishing_gradient",
              "vanishing_activation", "constant_output"),
)  # fmt: skip
def learning_rate_high(history: History) -> Finding | None:
    """Steps are too large for the loss to fall."""
    # The first too large a step: who has diverged moves large weights by little, or what has
    # exploded by any factor.
    medians = _medians(history)
    large = [(number, ratio) for number, ratio in medians if ratio > HIGH]
    if not large and history.rises:  # then a part of the weights is enough
        medians = _by_step(history, max)
        large = [(number, ratio) for number, ratio in medians if ratio > HIGH]
        large = large if len(large) >= MOSTLY * len(medians) else []
    thrown = max((r for _, r in large), default=0.0) >= WHOLE and _thrown(history)
    if not large or shrank(history) or (history.learns and not _stuck(history) and not thrown):
        return None
    since, ratio = large[0]
    rate = rate_of(history, since)
    enough = ratio >= MANIFOLD
    if history.broke and not (history.grew or enough):
        return None  # something else broke it: the loss had not been growing
    if history.too_early and not history.broke and not (history.grew and enough):
        return None
    rises = history.rises or history.grew
    mostly = len(large) >= MOSTLY * len(medians) or max(r for _, r in large) >= WHOLE
    stays = mostly and not history.signed and history.number >= SETTLED
    if not (rises or history.broke or stays):
        return None  # some large steps at the beginning keep no loss from falling later
    severity: Severity = "error" if rises else "warning"
    went = "is not finite any more" if history.broke else "does not fall"
    if rises and not history.broke:
        fell = (history.last_loss or 0.0) < (history.began_at or 0.0)
        went = "has risen again" if fell else "has risen"
    # The gradient was so before any step: whatever had made it is to blame.
    beyond = bool(since <= 1 and rate and ratio / rate > ABSURD)
    return history.finding(
        "learning_rate_high", severity, [w.module for w in matrices(history)],
        title=f"Weights change by {_share(ratio)} a step, and the loss {went}",
        explanation=f"The loss went from {history.began_at:.3g} to {history.last_loss:.3g} over "
        f"{history.number} steps; a step usually changes a weight by about {USUAL:g} of it."
        if history.last_loss is not None and history.began_at is not None
        else "The loss is not finite any more.",
        evidence={
            "update_ratio": ratio, "learning_rate": rate,
            **({"beyond_any_rate": True} if beyond else {}),
        },
        threshold={"update_ratio": HIGH}, since=since,
        fix=None if beyond else _less_momentum(history) or better_rate(rate, ratio),
    )  # fmt: skip


def _less_momentum(history: History) -> str | None:
    """Where it adds up more steps than anybody wants."""
    groups = history.groups
    most = max((g.momentum or 0.0 for g in groups if g.kind in BY_OWN_SCALE), default=0.0)
    if most <= MOST_MOMENTUM:
        return None
    steps = f"so {1 / (1 - most):,.0f} steps add up" if most < 1 else "so steps add up without end"
    return f"optimizer.param_groups[0]['momentum'] = 0.9  # was {most:g}: {steps}"


def _stuck(history: History) -> bool:
    """Whether all that has been learned is little more than a constant answer, and no more is."""
    last, baseline = history.last_loss, history.baseline
    if baseline is None or last is None or history.number < PATIENCE:
        return False
    return last > BETTER * baseline and not history.falls


def _thrown(history: History) -> bool:
    """Whether the loss was once far above where it began, and has stood near there since."""
    if history.number < PATIENCE or history.fares_well or history.falls or history.signed:
        return False
    seen = [v for v in (*history.first, *(v for _, v in history.losses)) if math.isfinite(v)]
    return max(seen, default=0.0) > THROWN * (history.began_at or math.inf)


def _share(ratio: float) -> str:
    return f"{ratio:.0%}" if ratio < 10 else f"{ratio:.2g} times themselves"


def _medians(history: History) -> list[tuple[int, float]]:
    """Of Δw/w over the weights, by recorded step."""
    return _by_step(history, median)


def _by_step(history: History, figure: Callable[[list[float]], float]) -> list[tuple[int, float]]:
    """A figure of Δw/w over the weights, by recorded step."""
    found = []
    weights = [w for w in matrices(history) if drawn_as(history, w)]
    for step in history.steps:
        ratios = [step.update_ratio(w.module.index, w.place) for w in weights]
        known = [r for r in ratios if r is not None]
        if known:
            found.append((step.number, figure(known)))
    return found
