"""Rules over a training: each reads recorded steps alone, and is one entry in its file."""

from layerscope.engine.probe.rules import (
    attention,
    bootstrap,
    codes,
    data,
    decay,
    dropping,
    formats,
    gradients,
    layering,
    leaks,
    loss,
    low_rates,
    rates,
    recurrent,
    shapes,
    slow,
    targets,
    terms,
)
from layerscope.engine.probe.rules.base import TRAINING_RULES

__all__ = [
    "TRAINING_RULES", "attention", "bootstrap", "codes", "data", "decay", "dropping", "formats",
    "gradients", "layering", "leaks", "loss", "low_rates", "rates", "recurrent", "shapes", "slow",
    "targets", "terms",
]  # fmt: skip
