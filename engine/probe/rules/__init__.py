"""Rules over a training: each reads recorded steps alone, and is one entry in its file."""

from layerscope.engine.probe.rules import (
    data,
    decay,
    dropping,
    formats,
    gradients,
    loss,
    low_rates,
    rates,
    recurrent,
    shapes,
    slow,
    targets,
)
from layerscope.engine.probe.rules.base import TRAINING_RULES

__all__ = [
    "TRAINING_RULES", "data", "decay", "dropping", "formats", "gradients", "loss", "low_rates",
    "rates", "recurrent", "shapes", "slow", "targets",
]  # fmt: skip
