"""What goes into an experiment: input and target, drawn or real."""

from layerscope.engine.data.base import DATASETS, Dataset, InputMoments, Sample, dataset

from layerscope.engine.data.gaussian import gaussian  # isort: skip - the default comes first
from layerscope.engine.data.digits import all_digits, digits  # isort: skip

__all__ = [
    "DATASETS", "Dataset", "InputMoments", "Sample", "all_digits", "dataset", "digits", "gaussian",
]  # fmt: skip
