"""Narrow number formats: stored in 16 bits, computed with in float32, as PyTorch does."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["NARROW", "widened"]

NARROW = (torch.float16, torch.bfloat16)


def widened(x: Tensor) -> Tensor:
    """``x`` in the format in which an operation computes: float32 for a narrow one.

    >>> widened(torch.ones(1, dtype=torch.float16)).dtype, widened(torch.ones(1).double()).dtype
    (torch.float32, torch.float64)
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
