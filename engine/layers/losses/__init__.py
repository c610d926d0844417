"""Loss functions, forward and hand-written backward side by side, in one registry."""

from layerscope.engine.layers.losses.base import LOSSES, REDUCTIONS, Loss

from layerscope.engine.layers.losses import regression, classification  # isort: skip - the default first

__all__ = ["LOSSES", "REDUCTIONS", "Loss", "classification", "regression"]
