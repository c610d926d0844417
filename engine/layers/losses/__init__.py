"""Loss functions, forward and hand-written backward side by side, in one registry."""

from layerscope.engine.layers.losses.base import LOSSES, Loss

from layerscope.engine.layers.losses import regression, classification  # isort: skip - the default first

__all__ = ["LOSSES", "Loss", "classification", "regression"]
