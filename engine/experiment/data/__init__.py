"""What goes into an experiment: input and target, drawn or real."""

from layerscope.engine.experiment.data.base import DATASETS, Dataset, InputMoments, Sample, dataset

from layerscope.engine.experiment.data.gaussian import gaussian  # isort: skip - the default comes first
from layerscope.engine.experiment.data.digits import all_digits, digits  # isort: skip

__all__ = [
    "DATASETS", "Dataset", "InputMoments", "Sample", "all_digits", "dataset", "digits", "gaussian",
]  # fmt: skip
