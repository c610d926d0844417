"""Compiling every kernel before the first measurement."""

from __future__ import annotations

import math

import torch

from layerscope.engine.statistics.activity import units, units_of_many
from layerscope.engine.statistics.columns import distinct_columns
from layerscope.engine.statistics.many import Reader
from layerscope.engine.statistics.measure import statistics
from layerscope.engine.statistics.reading import LARGE
from layerscope.engine.statistics.within import within

__all__ = ["warm_up"]


def warm_up() -> None:
    """Compile the kernels, or load them from the cache on disk, before the first measurement."""
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        sample = torch.tensor([[1.0, 0.0], [2.0, math.nan]], dtype=dtype)
        statistics(sample)
        units(sample)
        distinct_columns(sample)
        within(sample, ((None, 0.0),), rows=1)
    for dtype in (torch.float32, torch.float64):
        statistics(torch.zeros(LARGE, dtype=dtype))
    sample = torch.ones(2, 2)
    Reader().read([sample])
    units_of_many([(sample, 1)])
