"""Training one of our own networks: the experiment's layers, an optimiser, a step at a time."""

from layerscope.engine.training.specification import Training
from layerscope.engine.training.trainer import Done, Trainer, step_cost

__all__ = ["Done", "Trainer", "Training", "step_cost"]
