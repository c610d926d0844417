"""What mean-field theory predicts for a network at initialisation; pure functions of numbers."""

from layerscope.engine.theory.critical import (
    CriticalPoint,
    NoCriticalPoint,
    critical_curve,
    critical_point,
    critical_points,
)
from layerscope.engine.theory.forecast import FORMATS, Forecast
from layerscope.engine.theory.meanfield import (
    FixedPoint,
    chi,
    correlation_map,
    correlation_path,
    fixed_point,
    length_map,
    length_path,
)
from layerscope.engine.theory.phase import PhaseDiagram, PhaseRow, phase_diagram, phase_rows
from layerscope.engine.theory.prediction import predict
from layerscope.engine.theory.record import LayerPrediction, Prediction, without_band
from layerscope.engine.theory.spectrum import (
    JacobianSpectrum,
    SpectrumEstimate,
    estimate_spectrum,
    jacobian_spectrum,
    spectrum_through_depth,
)
from layerscope.engine.theory.spread import Spread

__all__ = [
    "FORMATS",
    "CriticalPoint",
    "FixedPoint",
    "Forecast",
    "JacobianSpectrum",
    "LayerPrediction",
    "NoCriticalPoint",
    "PhaseDiagram",
    "PhaseRow",
    "Prediction",
    "SpectrumEstimate",
    "Spread",
    "chi",
    "correlation_map",
    "correlation_path",
    "critical_curve",
    "critical_point",
    "critical_points",
    "estimate_spectrum",
    "fixed_point",
    "jacobian_spectrum",
    "length_map",
    "length_path",
    "phase_diagram",
    "phase_rows",
    "predict",
    "spectrum_through_depth",
    "without_band",
]  # fmt: skip
