"""What optimisers do to weights, as rules over rates and decay ask for it."""

from __future__ import annotations

from layerscope.engine.basis.median import median
from layerscope.engine.probe.history import History, Weight
from layerscope.engine.probe.step import Quantity

__all__ = [
    "HIGH", "SHRUNK", "USUAL", "WHOLE", "better_rate", "drawn_as", "kept", "matrices", "rate_of",
    "shrank",
]  # fmt: skip

HIGH = 0.05  # rms(Δw)/rms(w): twenty steps replace a weight; a thousandth is usual
WHOLE = 0.5  # a step half as large as the weights: little is left of how they were drawn
USUAL = 1e-3  # Karpathy 2019; Bottou 2012
MOST = 1000.0  # times the rate: more is said of none that is too low
SHRUNK = 0.1  # of what the weights were: decay, not the loss, has moved them


def matrices(history: History) -> list[Weight]:
    """Weights of more than one axis that the optimiser moves."""
    return [
        w for w in history.weights()
        if len(w.facts.shape) > 1 and w.facts.group is not None and w.facts.trains
    ]  # fmt: skip


def drawn_as(history: History, weight: Weight) -> float:
    """The rms of a weight in the oldest record."""
    return next((rms for _, rms in history.seen(weight, Quantity.VALUE)), 0.0)


def rate_of(history: History, number: int | None = None) -> float | None:
    """In a recorded step; the newest by default."""
    chosen = [s for s in history.steps if number in (None, s.number)]
    return max(chosen[-1].learning_rates, default=None) if chosen else None


def better_rate(rate: float | None, ratio: float) -> str:
    """The line of code by which a step changes weights by about as much as is usual."""
    if not rate or not ratio:
        return "optimizer.param_groups[0]['lr'] = …  # above 0"
    factor = min(MOST, USUAL / ratio)
    return f"optimizer.param_groups[0]['lr'] = {rate * factor:.1g}  # was {rate:g}"


def kept(history: History, until: int | None = None) -> float | None:
    """How much most weights are, as a share of what they were; by the records up to a step."""
    shares = []
    for weight in matrices(history):
        seen = [v for n, v in history.seen(weight, Quantity.VALUE) if until is None or n <= until]
        if len(seen) > 1 and seen[0]:
            shares.append(seen[-1] / seen[0])
    return median(shares) if shares else None


def shrank(history: History) -> bool:
    """Whether most weights have become a small part of what they were: a rate that is too high
    makes them larger."""
    share = kept(history)
    return share is not None and share < SHRUNK
