"""Statistics of tensors that lie on an accelerator, computed there: nothing waits for it.

The device fills the records that ``kernel.chunk32`` fills for the CPU, tensors of one size
together; they come over later, all in one copy, and ``kernel.finish32`` turns them into answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from layerscope.engine.statistics import kernel
from layerscope.engine.statistics.many import Answers, normal_of

__all__ = ["WORDS", "all_here", "answers", "is_here", "readable_there", "records", "units_there"]

WORDS = kernel.STATE + 2 * kernel.SPAN32
"""Of a record, int64."""
PIECE = 1 << 22
"""Entries that are looked at together: what is needed beside them is six times their memory."""
HERE = "cpu"
"""The device that need not be waited for."""
DEVICES = frozenset({"cuda", "xpu"})
"""Those with float64, in which moments are summed."""
_device = attrgetter("device")
READ = frozenset(
    {torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2}
)


def is_here(tensor: Tensor) -> bool:
    """Whether it lies in the CPU's memory, so that looking at it waits for nothing."""
    return tensor.device.type == HERE


def all_here(tensors: Sequence[Tensor]) -> bool:
    """The same of all of them, asked at once."""
    return all(device.type == HERE for device in set(map(_device, tensors)))


def readable_there(tensor: Tensor) -> bool:
    """Whether it can be read where it lies."""
    return (
        tensor.device.type in DEVICES
        and tensor.dtype in READ
        and tensor.layout is torch.strided
    )  # fmt: skip


def records(tensors: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
    """The records of ``tensors`` on their device, (rows, ``WORDS``), in their order, and how many
    rows each has; large ones have several."""
    groups: dict[tuple[int, torch.dtype], list[tuple[int, Tensor]]] = {}
    rows, at = [], 0
    for tensor in tensors:
        pieces = torch.split(tensor.detach().reshape(-1), PIECE)  # an empty one is a piece too
        for piece in pieces:
            groups.setdefault((piece.numel(), piece.dtype), []).append((at, piece))
            at += 1
        rows.append(len(pieces))
    found, places = [], []
    for (size, _), members in groups.items():
        together = max(1, PIECE // max(1, size))
        for begin in range(0, len(members), together):
            some = members[begin : begin + together]
            found.append(_records(torch.stack([piece for _, piece in some]).float()))
            places += [place for place, _ in some]
    joined = torch.cat(found)
    if places == sorted(places):
        return joined, rows
    order = torch.empty(len(places), dtype=torch.long)
    order[torch.tensor(places)] = torch.arange(len(places))
    return joined[order.to(joined.device, non_blocking=True)], rows


def _records(x: Tensor) -> Tensor:
    """Of each row of (k, n) float32."""
    k, n = x.shape
    found = torch.zeros((k, WORDS), dtype=torch.int64, device=x.device)
    if not n:
        return found
    finite = x.isfinite()
    clean = torch.where(finite, x, 0.0)
    count = finite.sum(1)
    mean = clean.sum(1, dtype=torch.float64) / count.clamp_min(1)  # (k,)
    deviations = torch.where(finite, clean.double() - mean[:, None], 0.0)  # (k, n)
    rest = deviations.sum(1)  # what rounding left out of the mean
    squares = deviations.square().sum(1) - rest * rest / count.clamp_min(1)
    counts = [count, (x == 0).sum(1), x.isnan().sum(1), (x == math.inf).sum(1)]
    counts.append((x == -math.inf).sum(1))
    found[:, :5] = torch.stack(counts, 1)
    lowest = torch.where(finite, x, math.inf).amin(1).double()
    highest = torch.where(finite, x, -math.inf).amax(1).double()
    moments = [mean, rest / count.clamp_min(1), squares.clamp_min(0.0), lowest, highest]
    found[:, 8:13] = torch.stack(moments, 1).view(torch.int64)
    # x = m · 2^e with m in [0.5, 1); what is zero is counted in a bin behind all others.
    bins = torch.frexp(clean).exponent.long() - 1 - kernel.LOWEST32
    bins += kernel.SPAN32 * (clean < 0)
    bins = torch.where(clean == 0, 2 * kernel.SPAN32, bins)
    histogram = torch.zeros((k, 2 * kernel.SPAN32 + 1), dtype=torch.int64, device=x.device)
    histogram.scatter_add_(1, bins, torch.ones((), dtype=torch.int64, device=x.device).expand(k, n))
    found[:, kernel.STATE :] = histogram[:, :-1]
    return found


def answers(
    found: NDArray[np.int64], rows: Sequence[int], dtypes: Sequence[torch.dtype]
) -> Answers:
    """What records that have come over say: one answer a tensor, of ``rows`` records each."""
    begins = np.cumsum([0, *rows])[:-1] * WORDS
    arena = np.ascontiguousarray(found).reshape(-1)
    for begin, several, dtype in zip(begins, rows, dtypes, strict=True):
        kernel.finish32(arena.ctypes.data + 8 * int(begin), several, normal_of(dtype))
    return Answers(begins, arena, np.full(len(rows), kernel.LOWEST32))


def units_there(activation: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """What ``units`` tells of an activation, on its device: float64 (dead, constant, correlation),
    NaN where the last is not known, and which units are dead, (width,)."""
    x = activation.detach().float()
    rows = x.movedim(axis, -1).flatten(0, -2)  # (samples and positions, width)
    same = (rows == rows[:1]).all(0)
    dead = same & (rows[0] == 0)
    samples = x.flatten(1)
    largest = samples.abs().amax(1, keepdim=True)
    good = (largest > 0) & largest.isfinite()  # NaN is no number above 0
    scaled = torch.where(good, samples / torch.where(good, largest, 1.0), 0.0).double()
    lengths = scaled.norm(dim=1, keepdim=True)
    directions = torch.where(good, scaled / torch.where(good, lengths, 1.0), 0.0)
    n = good.sum().double()
    correlation = (directions.sum(0).square().sum() - n) / (n * (n - 1.0))
    known = torch.where(n > 1, correlation.clamp(-1.0, 1.0), math.nan)
    return torch.stack([dead.sum().double(), same.sum().double(), known]), dead
