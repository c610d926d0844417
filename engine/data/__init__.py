"""What goes into an experiment: input and target, drawn or real."""

from layerscope.engine.data.base import CLASSES, DATASETS, Dataset, Sample

from layerscope.engine.data.gaussian import gaussian  # isort: skip - the default comes first
from layerscope.engine.data.digits import all_digits, digits  # isort: skip

__all__ = ["CLASSES", "DATASETS", "Dataset", "Sample", "all_digits", "digits", "gaussian"]
