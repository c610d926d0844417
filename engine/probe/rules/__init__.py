"""Rules over a training: each reads recorded steps alone, and is one entry in its file."""

from layerscope.engine.probe.rules import (
    data,
    dropping,
    formats,
    gradients,
    loss,
    rates,
    recurrent,
    shapes,
    slow,
    targets,
)
from layerscope.engine.probe.rules.base import TRAINING_RULES

__all__ = [
    "TRAINING_RULES", "data", "dropping", "formats", "gradients", "loss", "rates", "recurrent",
    "shapes", "slow", "targets",
]  # fmt: skip
