"""Matrix multiplication from three Python loops to BLAS: variants, their race, their growth."""

from layerscope.engine.foundations.matmul import loops  # noqa: I001  registered first: raced and shown first
from layerscope.engine.foundations.matmul import vectorised
from layerscope.engine.foundations.matmul import compiled
from layerscope.engine.foundations.matmul.base import (
    MATMULS,
    MatmulVariant,
    check_operands,
    matmul_variant,
)
from layerscope.engine.foundations.matmul.events import (
    RaceEnd,
    RaceProgress,
    RaceResult,
    RaceStart,
    Ranking,
)
from layerscope.engine.foundations.matmul.limits import LIMITS, MatmulLimits
from layerscope.engine.foundations.matmul.notes import NOTES_SHAPE, NOTES_TABLE, NotesTime
from layerscope.engine.foundations.matmul.peak import Peak, measured_peak
from layerscope.engine.foundations.matmul.race import BASELINE, RaceEvent, race
from layerscope.engine.foundations.matmul.scaling import (
    SIZES,
    PowerLaw,
    ScalingEnd,
    ScalingEvent,
    ScalingPoint,
    ScalingStart,
    fit_power_law,
    scaling,
)

__all__ = [
    "BASELINE",
    "LIMITS",
    "MATMULS",
    "NOTES_SHAPE",
    "NOTES_TABLE",
    "SIZES",
    "MatmulLimits",
    "MatmulVariant",
    "NotesTime",
    "Peak",
    "PowerLaw",
    "RaceEnd",
    "RaceEvent",
    "RaceProgress",
    "RaceResult",
    "RaceStart",
    "Ranking",
    "ScalingEnd",
    "ScalingEvent",
    "ScalingPoint",
    "ScalingStart",
    "check_operands",
    "compiled",
    "fit_power_law",
    "loops",
    "matmul_variant",
    "measured_peak",
    "race",
    "scaling",
    "vectorised",
]  # fmt: skip
