"""What mean-field theory predicts for a network at initialisation; pure functions of numbers."""

from engine.theory.critical import (
    CriticalPoint,
    NoCriticalPoint,
    critical_curve,
    critical_point,
    critical_points,
)
from engine.theory.forecast import FORMATS, Forecast
from engine.theory.meanfield import (
    FixedPoint,
    chi,
    correlation_map,
    correlation_path,
    fixed_point,
    length_map,
    length_path,
)
from engine.theory.phase import PhaseDiagram, PhaseRow, phase_diagram, phase_rows
from engine.theory.prediction import LayerPrediction, Prediction, Spread, predict

__all__ = [
    "FORMATS", "CriticalPoint", "FixedPoint", "Forecast", "LayerPrediction", "NoCriticalPoint",
    "PhaseDiagram", "PhaseRow", "Prediction", "Spread", "chi", "correlation_map",
    "correlation_path", "critical_curve", "critical_point", "critical_points", "fixed_point",
    "length_map", "length_path", "phase_diagram", "phase_rows", "predict",
]  # fmt: skip
