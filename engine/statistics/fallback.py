"""The same statistics by torch's own operators, for tensors that are not in the CPU's memory."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from layerscope.engine.statistics.record import Histogram, Statistics

__all__ = ["statistics_torch"]


def statistics_torch(tensor: Tensor) -> Statistics:
    """``statistics`` on any device: the same fields to rounding, in many passes.

    Where the device has no float64, the tensor is brought to the CPU first.

    >>> statistics_torch(torch.tensor([3.0, 4.0])).rms
    3.5355339059327378
    """
    if not tensor.dtype.is_floating_point:
        raise TypeError(f"statistics need a tensor of floats, got dtype {tensor.dtype}")
    x = tensor.detach().cpu() if tensor.device.type == "mps" else tensor.detach()
    smallest_normal = torch.finfo(x.dtype).smallest_normal
    x = x.to(torch.float64).flatten()  # exact
    finite = x[torch.isfinite(x)]
    nonzero = finite[finite != 0]
    mean, std, rms, low, high = _moments(finite)
    return Statistics(
        count=x.numel(),
        finite=finite.numel(),
        mean=mean,
        std=std,
        rms=rms,
        min=low,
        max=high,
        zeros=finite.numel() - nonzero.numel(),
        subnormal=int((nonzero.abs() < smallest_normal).sum()),
        nan=int(x.isnan().sum()),
        posinf=int((x == math.inf).sum()),
        neginf=int((x == -math.inf).sum()),
        histogram=_histogram(nonzero),
    )


def _moments(finite: Tensor) -> tuple[float | None, ...]:
    if not finite.numel():
        return None, None, None, None, None
    count = finite.numel()
    low, high = (float(value) + 0.0 for value in torch.aminmax(finite))
    # Scaled by a power of two, exactly, so that squares neither overflow nor underflow.
    largest = max(-low, high)
    exponent = min(max(math.frexp(largest)[1], -1000), 1000)
    scaled = finite * math.ldexp(1.0, -exponent)
    if low == high:
        return low, 0.0 if count > 1 else None, abs(low), low, high
    mean = float(scaled.mean())
    deviation = scaled - mean
    rest = float(deviation.sum()) / count  # what rounding left out of the mean
    squares = float((deviation * deviation).sum()) - rest * rest * count
    rms = math.sqrt((mean + rest) ** 2 + squares / count)
    rms = math.ldexp(min(rms, math.ldexp(largest, -exponent)), exponent)
    try:
        std = math.ldexp(math.sqrt(squares / (count - 1)), exponent)
    except OverflowError:
        std = None
    bounds = math.ldexp(low, -exponent), math.ldexp(high, -exponent)
    mean = math.ldexp(min(max(mean + rest, bounds[0]), bounds[1]), exponent) + 0.0
    return mean, std, rms, low, high


def _histogram(nonzero: Tensor) -> Histogram:
    if not nonzero.numel():
        return Histogram(0, np.zeros(0, np.int64), np.zeros(0, np.int64))
    exponents = torch.frexp(nonzero).exponent.long() - 1  # x = m · 2^e with m in [0.5, 1)
    first = int(exponents.min())
    size = int(exponents.max()) - first + 1
    positive, negative = (
        torch.bincount(exponents[chosen] - first, minlength=size).cpu().numpy()
        for chosen in (nonzero > 0, nonzero < 0)
    )
    return Histogram(first, positive, negative)
