"""Loss functions, forward and hand-written backward side by side, in one registry."""

from layerscope.engine.losses.base import LOSSES, Loss

from layerscope.engine.losses.regression import (  # isort: skip - the default comes first
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
)
from layerscope.engine.losses.classification import CrossEntropy  # isort: skip

__all__ = ["LOSSES", "CrossEntropy", "Huber", "Loss", "MeanAbsoluteError", "MeanSquaredError"]
