"""The experiment: a frozen specification that determines every number that follows."""

from layerscope.engine.experiment.presets import PRESETS, Preset
from layerscope.engine.experiment.specification import (
    DTYPES,
    NORM_NAMES,
    Experiment,
    FieldError,
    InvalidExperiment,
    expectation,
)

__all__ = [
    "DTYPES", "NORM_NAMES", "PRESETS", "Experiment", "FieldError", "InvalidExperiment", "Preset",
    "expectation",
]  # fmt: skip
