"""Loss functions, forward and hand-written backward side by side, in one registry."""

from layerscope.engine.losses.base import LOSSES, Loss

from layerscope.engine.losses import regression, classification  # isort: skip - the default first

__all__ = ["LOSSES", "Loss", "classification", "regression"]
