"""Answers of the kernel as the bytes of ``Statistics``: no Python object a tensor on the way.

What is written is MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md), exactly
as ``Statistics`` writes itself, with the answers about several parts of one tensor, or several
tensors that are to be taken together, merged first.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from layerscope.engine.statistics.compilation import kernel

__all__ = ["FIGURES", "pack"]

STATE = 16  # words of an answer before its histogram, as the kernel writes them
FIGURES = ("count", "finite", "mean", "std", "rms", "min", "max", "zeros", "nan", "posinf")
"""What ``pack`` says of each packed tensor in numbers, in this order; NaN for what is not known."""

Array = Any


@kernel
def _float(buffer: Array, at: int, value: float) -> int:
    if value != value:  # nothing is known: nil
        buffer[at] = 0xC0
        return at + 1
    bits = np.float64(value).view(np.uint64)
    buffer[at] = 0xCB
    for i in range(8):
        buffer[at + 1 + i] = (bits >> np.uint64(56 - 8 * i)) & np.uint64(255)
    return at + 9


@kernel
def _integer(buffer: Array, at: int, value: int) -> int:
    if 0 <= value < 128:
        buffer[at] = value
        return at + 1
    if -32 <= value < 0:
        buffer[at] = 256 + value
        return at + 1
    size = 0  # as its power of two: 1, 2, 4 or 8 bytes, the fewest that hold it
    while size < 3 and not -(1 << ((8 << size) - 1)) <= value < (1 << (8 << size)):
        size += 1
    buffer[at], width = (0xCC if value >= 0 else 0xD0) + size, 1 << size
    for i in range(width):
        buffer[at + 1 + i] = (value >> (8 * (width - 1 - i))) & 255
    return at + 1 + width


@kernel
def _counts(buffer: Array, at: int, counts: Array) -> int:
    """A list, in which a run of k zeros is −k."""
    length, i = 0, 0
    while i < counts.size:
        length += 1
        if counts[i] == 0:
            while i + 1 < counts.size and counts[i + 1] == 0:
                i += 1
        i += 1
    if length < 16:
        buffer[at] = 0x90 + length
        at += 1
    else:
        buffer[at], buffer[at + 1], buffer[at + 2] = 0xDC, length >> 8, length & 255
        at += 3
    i = 0
    while i < counts.size:
        run = 0
        while i < counts.size and counts[i] == 0:
            run += 1
            i += 1
        if run:
            at = _integer(buffer, at, -run)
        else:
            at = _integer(buffer, at, counts[i])
            i += 1
    return at


@kernel
def _moments(answer: Array, values: Array) -> Any:
    """Count of the finite entries, their mean, and the squared deviations from it."""
    count = answer[0]
    if count == 0:
        return 0, 0.0, 0.0
    deviations = values[9] * values[9] * (count - 1) if count > 1 else 0.0
    return count, values[8], deviations


@kernel
def _join(total: Array, part: Array, exponents: int) -> None:
    """Take an answer into ``total``, whose histogram holds all ``exponents`` from the first on.

    Chan, Golub & LeVeque 1983.
    """
    values, more = total[:STATE].view(np.float64), part[:STATE].view(np.float64)
    n, mean, deviations = _moments(total, values)
    m, other, others = _moments(part, more)
    if m:
        delta, count = other - mean, n + m
        mean = other if n == 0 else mean + delta * (m / count)
        deviations += others + (delta * delta * (n * (m / count)) if n else 0.0)
        values[11] = min(values[11], more[11]) if n else more[11]
        values[12] = max(values[12], more[12]) if n else more[12]
        values[8] = min(max(mean, values[11]), values[12])
        values[9] = math.sqrt(deviations / (count - 1)) if count > 1 else np.nan
        rms = math.sqrt(mean * mean + deviations / count)
        values[10] = min(rms, max(-values[11], values[12]))
    for i in range(6):
        total[i] += part[i]
    span = total[7]
    for i in range(part[7]):
        total[STATE + part[6] + i] += part[STATE + i]
        total[STATE + span + part[6] + i] += part[STATE + part[7] + i]
    total[15] = exponents


@kernel
def _together(arena: Array, parts: Array, lowest: Array) -> Array:
    """One answer for several, its histogram from the lowest exponent that any has."""
    first, last = 1 << 20, -(1 << 20)
    for k in range(parts.size):
        answer = arena[parts[k] :]
        if answer[7]:
            begin = lowest[k] + answer[6]
            first, last = min(first, begin), max(last, begin + answer[7])
    span = max(0, last - first)
    total = np.zeros(STATE + 2 * span, np.int64)
    total[7] = span
    for k in range(parts.size):
        answer = arena[parts[k] :]
        part = answer[: STATE + 2 * answer[7]].copy()
        part[6] = lowest[k] + answer[6] - first if answer[7] else 0
        _join(total, part, span)
    total[6] = first if span else 0
    return total


@kernel
def _write(buffer: Array, at: int, answer: Array, values: Array, first: int, shift: int) -> int:
    finite, length = answer[0], answer[7]
    count = finite + answer[3] + answer[4] + answer[5]
    buffer[at] = 0x9D  # thirteen fields
    at = _integer(buffer, at + 1, count)
    at = _integer(buffer, at, finite)
    for i in range(8, 13):
        value = math.ldexp(values[i], -shift) if finite else np.nan
        at = _float(buffer, at, value if abs(value) < np.inf else np.nan)
    for i in range(1, 6):
        at = _integer(buffer, at, answer[i])
    buffer[at] = 0x93  # a histogram's three
    at = _integer(buffer, at + 1, first - shift if length else 0)
    at = _counts(buffer, at, answer[STATE : STATE + length])
    return _counts(buffer, at, answer[STATE + length : STATE + 2 * length])


@kernel
def pack(arena: Array, parts: Array, lowest: Array, starts: Array, shifts: Array) -> Any:
    """The bytes of as many ``Statistics`` as ``starts`` has entries but one, and ``FIGURES``.

    The k-th is about the answers that begin in ``arena`` at ``parts[starts[k]:starts[k + 1]]``,
    taken together; ``lowest`` is for each part the exponent from which its histogram counts. All
    figures of the k-th are divided by 2 to the power ``shifts[k]``, which is exact.
    """
    n = starts.size - 1
    figures = np.empty((n, 10), np.float64)
    size = 0
    for k in range(parts.size):
        size += 120 + 10 * arena[parts[k] + 7]
    buffer = np.empty(size + 128 * n + 4200 * (parts.size - n), np.uint8)
    at = 0
    for k in range(n):
        a, b = starts[k], starts[k + 1]
        if b == a + 1:
            answer = arena[parts[a] : parts[a] + STATE + 2 * arena[parts[a] + 7]]
            first = lowest[a] + answer[6]
        else:
            answer = _together(arena, parts[a:b], lowest[a:b])
            first = answer[6]
        values = answer[:STATE].view(np.float64)
        at = _write(buffer, at, answer, values, first, shifts[k])
        finite = answer[0]
        figures[k, 0], figures[k, 1] = finite + answer[3] + answer[4] + answer[5], finite
        for i in range(8, 13):
            figures[k, i - 6] = math.ldexp(values[i], -shifts[k]) if finite else np.nan
        figures[k, 7], figures[k, 8], figures[k, 9] = answer[1], answer[3], answer[4]
    return buffer[:at], figures
