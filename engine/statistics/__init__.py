"""Everything about one tensor, in one pass over its memory."""

from layerscope.engine.statistics.activity import Units, units
from layerscope.engine.statistics.columns import distinct_columns
from layerscope.engine.statistics.fallback import statistics_torch
from layerscope.engine.statistics.measure import machine_code, statistics
from layerscope.engine.statistics.record import Figures, Histogram, Statistics
from layerscope.engine.statistics.warming import warm_up

__all__ = [
    "Figures", "Histogram", "Statistics", "Units", "distinct_columns", "machine_code",
    "statistics", "statistics_torch", "units", "warm_up",
]  # fmt: skip
