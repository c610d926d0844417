"""Learning rates, judged by what the optimiser really does to the weights."""

from __future__ import annotations

from layerscope.engine.basis.median import median
from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.history import BETTER, History, Weight
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.step import Quantity

__all__ = ["learning_rate_high", "learning_rate_low"]

HIGH = 0.05  # rms(Δw)/rms(w): twenty steps replace a weight; a thousandth is usual
LOW = 1e-5  # ten thousand steps change a weight by a tenth
SLOW, MOVED = 1e-4, 0.01  # a tenth of the usual, and all steps together a hundredth of any weight
PATIENCE = 100  # steps that a slow training is given first: so long a fine-tuning may seem to stand
MANIFOLD = 10.0  # of what the weights are: one such step is enough
SETTLED = 30  # steps after which a loss that large steps did not raise should have come down
MOSTLY = 0.5  # of the recorded steps are too large, where the loss has not risen by them
WHOLE = 1.0  # a step as large as the weights: they are drawn anew
USUAL = 1e-3  # Karpathy 2019; Bottou 2012
ABSURD = 1e6  # rms(∂L/∂w)/rms(w) under plain descent: no rate that anybody gives makes up for it
WARMING = 1.2  # a learning rate that has grown by this factor is being warmed up


def _matrices(history: History) -> list[Weight]:
    """Weights of more than one axis that the optimiser moves."""
    return [
        w for w in history.weights()
        if len(w.facts.shape) > 1 and w.facts.group is not None and w.facts.trains
    ]  # fmt: skip


def _moved(history: History) -> list[tuple[Weight, float]]:
    """Those with their median Δw/w over the recent steps."""
    known = [(w, history.median_ratio(w)) for w in _matrices(history)]
    return [(w, r) for w, r in known if r is not None]


def _rate(history: History, number: int | None = None) -> float | None:
    """In a recorded step; the newest by default."""
    chosen = [s for s in history.steps if number in (None, s.number)]
    return max(chosen[-1].learning_rates, default=None) if chosen else None


def _fix(rate: float | None, ratio: float) -> str:
    if not rate or not ratio:
        return "optimizer.param_groups[0]['lr'] = …  # above 0"
    return f"optimizer.param_groups[0]['lr'] = {rate * USUAL / ratio:.1g}  # was {rate:g}"


@training_rule(
    formula=f"the loss rises by a fifth or more, or does not fall in {SETTLED} steps, while the "
    f"median of rms(Δw)/rms(w) over the weights is above {HIGH:g}",
    source="Karpathy 2019, A recipe for training neural networks; Bottou 2012",
    help="A thousandth is usual. A large ratio alone is no fault: small weights move fast.",
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
    if history.learns or not large:
        return None
    since, ratio = large[0]
    rate = _rate(history, since)
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
    went = "is not finite any more" if history.broke else "has risen" if rises else "does not fall"
    # The gradient was so before any step: whatever had made it is to blame.
    beyond = bool(since <= 1 and rate and ratio / rate > ABSURD)
    return history.finding(
        "learning_rate_high", severity, [w.module for w in _matrices(history)],
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
        fix=None if beyond else _fix(rate, ratio),
    )  # fmt: skip


def _share(ratio: float) -> str:
    return f"{ratio:.0%}" if ratio < 10 else f"{ratio:.2g} times themselves"


def _medians(history: History) -> list[tuple[int, float]]:
    """Of Δw/w over the weights, by recorded step."""
    found = []
    weights = [w for w in history.weights() if len(w.facts.shape) > 1]
    for step in history.steps:
        ratios = [step.update_ratio(w.module.index, w.place) for w in weights]
        known = [r for r in ratios if r is not None]
        if known:
            found.append((step.number, median(known)))
    return found


@training_rule(
    formula=f"the loss does not fall, and no weight changes by more than {LOW:g} of it a step ("
    f"{SLOW:g} where the loss is a constant answer's and all steps together, {PATIENCE} or more, "
    f"make no {MOVED:.0%}), "
    "with gradients that are not zero and a learning rate that does not grow; or the loss has "
    "fallen by less than half, and weights that moved do so no more since the first half of it",
    source="Karpathy 2019, A recipe for training neural networks",
    help="What the optimiser really does counts: Adam makes up for tiny gradients.",
)
def learning_rate_low(history: History) -> Finding | None:
    """Steps are too small to get anywhere."""
    moved = _moved(history)
    if history.too_early or not moved or _warms_up(history):
        return None
    if history.learns and (history.fares_well or not _stopped_early(history)):
        return None
    largest = max(ratio for _, ratio in moved)
    alive = [w for w, _ in moved if any(g for _, g in history.seen(w, Quantity.PARAMETER_GRADIENT))]
    if (
        not (largest <= LOW or _hardly_moved(history, largest))
        or not alive
        or history.last_loss is None
        or history.first_loss is None
    ):
        return None
    rate = _rate(history)
    return history.finding(
        "learning_rate_low", "warning", [w.module for w in alive],
        title=f"No weight changes by more than {largest:.1g} of it a step"
        if largest
        else "No weight changes any more",
        explanation=f"After {history.number} steps the loss is at {history.last_loss:.4g}, from "
        f"{history.first_loss:.4g}; a step usually changes a weight by about {USUAL:g} of it.",
        evidence={"update_ratio": largest, "learning_rate": rate},
        threshold={"update_ratio": LOW}, since=history.steps[0].number, fix=_fix(rate, largest),
    )  # fmt: skip


def _hardly_moved(history: History, largest: float) -> bool:
    """Whether a network that is no better than a constant answer has had small steps alone, which
    together cannot have changed any of its weights."""
    last, baseline = history.last_loss, history.baseline
    if history.number < PATIENCE or largest > SLOW:
        return False
    if baseline is None or last is None or last < BETTER * baseline:
        return False
    weights = _matrices(history)
    all_steps = [
        s.update_ratio(w.module.index, w.place) or 0.0 for s in history.steps for w in weights
    ]  # fmt: skip
    return max(all_steps, default=0.0) * history.number < MOVED


def _stopped_early(history: History) -> bool:
    """Whether the weights moved, and have stood still since the first half of the training."""
    weights = _matrices(history)
    moving = [
        s.number for s in history.steps
        if any((s.update_ratio(w.module.index, w.place) or 0.0) > LOW for w in weights)
    ]  # fmt: skip
    return bool(moving) and max(moving) <= history.number / 2


def _warms_up(history: History) -> bool:
    rates = [s.learning_rates for s in history.steps if s.learning_rates]
    return bool(rates) and max(rates[-1]) > WARMING * max(rates[0])
