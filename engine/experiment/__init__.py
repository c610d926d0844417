"""The experiment: a frozen specification that determines every number that follows."""

from layerscope.engine.experiment.presets import PRESETS, Preset
from layerscope.engine.experiment.specification import (
    DTYPES,
    Experiment,
    FieldError,
    InvalidExperiment,
    expectation,
    options,
)

__all__ = [
    "DTYPES", "PRESETS", "Experiment", "FieldError", "InvalidExperiment", "Preset",
    "expectation", "options",
]  # fmt: skip
