"""Further questions asked of an experiment, each with what it costs: functions with the decorator
`analysis`, in modules that are imported here."""

from layerscope.engine.analyses import (
    autograd_check,
    correlations,
    float32_comparison,
    phase_diagram,
    precision,
    spectrum,
)
from layerscope.engine.analyses.base import ANALYSES, Analysis, AnalysisUndefined, analysis

__all__ = [
    "ANALYSES", "Analysis", "AnalysisUndefined", "analysis", "autograd_check", "correlations",
    "float32_comparison", "phase_diagram", "precision", "spectrum",
]  # fmt: skip
