"""The experiment: a frozen specification that determines every number that follows."""

from layerscope.engine.experiment.presets import PRESETS, Preset
from layerscope.engine.experiment.specification import DTYPES, Experiment

__all__ = ["DTYPES", "PRESETS", "Experiment", "Preset"]
