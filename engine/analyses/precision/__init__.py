"""What a number format would lose of a network's tensors, and what real runs in it lost."""

from layerscope.engine.analyses.precision.formats import FORMATS, Fit, Format, fit
from layerscope.engine.analyses.precision.loss_scale import TOLERATED, LossScale, loss_scale
from layerscope.engine.analyses.precision.report import PrecisionReport, precision
from layerscope.engine.analyses.precision.runs import KINDS, FormatRun, Kind, TensorSummary

__all__ = [
    "FORMATS", "KINDS", "TOLERATED", "Fit", "Format", "FormatRun", "Kind", "LossScale",
    "PrecisionReport", "TensorSummary", "fit", "loss_scale", "precision",
]  # fmt: skip
