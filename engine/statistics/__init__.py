"""Everything about one tensor, in one pass over its memory."""

from engine.statistics.activity import Units, units
from engine.statistics.columns import distinct_columns
from engine.statistics.fallback import statistics_torch
from engine.statistics.measure import statistics, warm_up
from engine.statistics.record import Histogram, Statistics

__all__ = [
    "Histogram",
    "Statistics",
    "Units",
    "distinct_columns",
    "statistics",
    "statistics_torch",
    "units",
    "warm_up",
]
