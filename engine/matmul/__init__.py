"""Matrix multiplication from three Python loops to BLAS: variants, their race, their growth."""

from engine.matmul import loops  # noqa: I001  registered first: raced and shown first
from engine.matmul import vectorised
from engine.matmul import compiled
from engine.matmul.base import MATMULS, MatmulVariant, check_operands, matmul_variant
from engine.matmul.events import RaceEnd, RaceProgress, RaceResult, RaceStart, Ranking
from engine.matmul.limits import LIMITS, MatmulLimits
from engine.matmul.notes import NOTES_SHAPE, NOTES_TABLE, NotesTime
from engine.matmul.peak import Peak, measured_peak
from engine.matmul.race import BASELINE, RaceEvent, race
from engine.matmul.scaling import (
    SIZES,
    Fit,
    ScalingEnd,
    ScalingEvent,
    ScalingPoint,
    ScalingStart,
    fit_power_law,
    scaling,
)

__all__ = [
    "BASELINE", "LIMITS", "MATMULS", "NOTES_SHAPE", "NOTES_TABLE", "SIZES", "Fit", "MatmulLimits",
    "MatmulVariant", "NotesTime", "Peak", "RaceEnd", "RaceEvent", "RaceProgress", "RaceResult",
    "RaceStart", "Ranking", "ScalingEnd", "ScalingEvent", "ScalingPoint", "ScalingStart",
    "check_operands", "compiled", "fit_power_law", "loops", "matmul_variant", "measured_peak",
    "race", "scaling", "vectorised",
]  # fmt: skip
