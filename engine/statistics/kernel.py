"""The kernel behind ``statistics``: blocks of a tensor, each read into the first cache once.

A tensor is taken in chunks (one, unless it is large enough for several threads), a chunk in
blocks that stay in the L1 cache while three short loops pass over them:

1. the histogram over sign and exponent, the top bits of the pattern, into interleaved copies,
   because counting one bin twice in a row waits for the first count to be stored;
2. the bit patterns, compared as signed integers in the floats' own order: extremes and zeros in
   vector lanes, and whether anything is not finite (only then do slower, masked loops run);
3. deviations and their squares, in float64, from a mean that is known beforehand or else taken
   first, so that nothing cancels.

Blocks, then chunks, are merged by Chan, Golub & LeVeque 1983, always in the same order: the result
depends neither on the number of threads nor on their timing.

All of it is one file, because the machine code cached on disk is renewed when the file of the
kernel called from Python changes, and not when another file does.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from layerscope.engine.statistics.compilation import fast_kernel, kernel, pointer

__all__ = [
    "CELLS32", "CELLS64", "LOWEST32", "LOWEST64", "SPAN32", "SPAN64", "STATE", "chunk32", "chunk64",
    "finish32", "finish64", "many", "whole32", "whole64",
]  # fmt: skip

BLOCK = 4096
"""Elements per block: 16 KiB of float32, beside 16 KiB of counters, in an L1 cache of 32 KiB."""
COPIES32 = 8
COPIES64 = 2
"""Interleaved histograms: as many as hide the delay of counting one bin again and again."""
STRIDE32 = 512 + 16
STRIDE64 = 4096 + 16
"""Bins of a copy, one for every sign and exponent field, and a cache line between copies, without
which one bin's counters would share the low 12 bits of their addresses, and wait for each other."""
CELLS32 = COPIES32 * STRIDE32
CELLS64 = COPIES64 * STRIDE64
"""Counters of all copies."""
LOWEST32, LOWEST64 = -149, -1074
"""Exponent of the smallest subnormal."""
SPAN32 = 127 - LOWEST32 + 1
SPAN64 = 1023 - LOWEST64 + 1
"""Exponents that a nonzero finite number can have."""
STATE = 16
"""Words of a chunk's record before its histogram: see ``_chunk`` and ``_finish``."""
MAGNITUDE32, SIGN32, INFINITY32 = np.int32(0x7FFF_FFFF), np.int32(31), np.int32(0x7F80_0000)
MAGNITUDE64, SIGN64 = np.int64(0x7FFF_FFFF_FFFF_FFFF), np.int64(63)
INFINITY64 = np.int64(0x7FF0_0000_0000_0000)
SAFE = 2.0**-400, 2.0**480
"""Largest magnitudes of a tensor whose squares and their sum are safe in float64."""

Array = Any


@fast_kernel
def _extremes(bits: Array, magnitude: Any, sign: Any) -> Any:
    """Lowest and highest pattern in the order of the floats, and the number of zeros."""
    low, high, zeros = magnitude, bits.dtype.type(~magnitude), bits.dtype.type(0)
    for i in range(bits.size):
        pattern = bits[i]
        order = bits.dtype.type(pattern ^ ((pattern >> sign) & magnitude))
        low = min(low, order)
        high = max(high, order)
        zeros = bits.dtype.type(zeros + bits.dtype.type((pattern & magnitude) == 0))
    return low, high, zeros


@fast_kernel
def _finite_extremes(bits: Array, magnitude: Any, sign: Any, infinity: Any) -> Any:
    """``_extremes`` over the finite entries only, then counts of NaN, +Inf and −Inf."""
    low, high, zeros = magnitude, bits.dtype.type(~magnitude), 0
    nan = posinf = neginf = 0
    for i in range(bits.size):
        pattern = bits[i]
        size = bits.dtype.type(pattern & magnitude)
        order = bits.dtype.type(pattern ^ ((pattern >> sign) & magnitude))
        low = min(low, order if size < infinity else magnitude)
        high = max(high, order if size < infinity else bits.dtype.type(~magnitude))
        zeros += size == 0
        nan += size > infinity
        posinf += pattern == infinity
        neginf += (size == infinity) & (pattern < 0)
    return low, high, zeros, nan, posinf, neginf


@fast_kernel
def _sum(x: Array) -> float:
    total = 0.0
    for i in range(x.size):
        total += np.float64(x[i])
    return total


@fast_kernel
def _deviations(x: Array, mean: float) -> tuple[float, float]:
    """Σ(x − mean)² and Σ(x − mean); the second says how far off ``mean`` is."""
    squares = rest = 0.0
    for i in range(x.size):
        deviation = np.float64(x[i]) - mean
        squares += deviation * deviation
        rest += deviation
    return squares, rest


@fast_kernel
def _finite_sum(x: Array, bits: Array, magnitude: Any, infinity: Any, scale: float) -> Any:
    """Number and sum of the finite entries, each times ``scale``."""
    total, count = 0.0, 0
    for i in range(x.size):
        finite = (bits[i] & magnitude) < infinity
        total += np.float64(x[i]) * scale if finite else 0.0
        count += finite
    return count, total


@fast_kernel
def _finite_deviations(
    x: Array, bits: Array, magnitude: Any, infinity: Any, scale: float, mean: float
) -> tuple[float, float]:
    squares = rest = 0.0
    for i in range(x.size):
        finite = (bits[i] & magnitude) < infinity
        deviation = np.float64(x[i]) * scale - mean if finite else 0.0
        squares += deviation * deviation
        rest += deviation
    return squares, rest


@kernel
def _block(count: int, origin: float, squares: float, rest: float) -> Any:
    """Moments of one block: count, mean in two words, Σ(x − mean)²; deviations from ``origin``."""
    low = rest / count
    return count, origin, low, squares - rest * low


@kernel
def _error(count: int, mean: float, squares: float, rest: float) -> float:
    """Sum of deviations from a mean just taken: what rounding left out of it, where that is known.

    Deviations are rounded to their own scale. Around a small mean that is coarser than the mean.
    """
    return rest if mean * mean * count > squares else 0.0


@kernel
def _merge(one: Any, other: Any) -> Any:
    """Moments of two parts together.

    The mean is kept as a sum of two floats, so that the difference of two means, which the squared
    deviations gain, is exact to the scale of the deviations and not of the mean.
    """
    if one[0] == 0:
        return other
    if other[0] == 0:
        return one
    count = one[0] + other[0]
    delta = (other[1] - one[1]) + (other[2] - one[2])
    step = delta * (other[0] / count)
    mean = one[1] + step
    back = mean - one[1]
    low = one[2] + ((one[1] - (mean - back)) + (step - back))
    return count, mean, low, one[3] + other[3] + delta * step * one[0]


@kernel
def _moments(x: Array, bits: Array, magnitude: Any, infinity: Any, scale: float) -> Any:
    """Moments of the finite entries times ``scale``; the careful way, for extreme numbers."""
    moments = (0, 0.0, 0.0, 0.0)
    for start in range(0, x.size, BLOCK):
        part, pattern = x[start : start + BLOCK], bits[start : start + BLOCK]
        count, total = _finite_sum(part, pattern, magnitude, infinity, scale)
        if count:
            mean = total / count
            squares, rest = _finite_deviations(part, pattern, magnitude, infinity, scale, mean)
            rest = _error(count, mean, squares, rest)
            moments = _merge(moments, _block(count, mean, squares, rest))
    return moments


@kernel
def _count32(words: Array, entries: Array, cells: Array) -> None:
    """Count sign and exponent of float32 entries, read as ``words`` of two."""
    last = words.size - words.size % 4
    for i in range(0, last, 4):
        for k in range(4):
            word = words[i + k]
            cells[2 * k * STRIDE32 + ((word >> np.uint64(23)) & np.uint64(511))] += np.uint32(1)
            cells[(2 * k + 1) * STRIDE32 + (word >> np.uint64(55))] += np.uint32(1)
    for i in range(2 * last, entries.size):
        cells[entries[i] >> np.uint32(23)] += np.uint32(1)


@kernel
def _count64(words: Array, cells: Array) -> None:
    last = words.size - words.size % 2
    for i in range(0, last, 2):
        cells[words[i] >> np.uint64(52)] += np.uint32(1)
        cells[STRIDE64 + (words[i + 1] >> np.uint64(52))] += np.uint32(1)
    for i in range(last, words.size):
        cells[words[i] >> np.uint64(52)] += np.uint32(1)


@kernel
def _collect(cells: Array, copies: int, bins: int, histogram: Array, mantissa: int) -> int:
    """Add up and clear the copies; returns how many entries have an exponent field of zero."""
    total, stride = cells[:bins], cells.size // copies
    for copy in range(1, copies):
        part = cells[copy * stride : copy * stride + bins]  # a slice, or the loop stays scalar
        for i in range(bins):
            total[i] += part[i]
            part[i] = 0
    half, span = bins // 2, histogram.size // 2
    for sign in range(2):
        counts, field = histogram[sign * span :], total[sign * half :]
        for i in range(mantissa):
            counts[i] = 0
        normal, field = counts[mantissa:span], field[1:]
        for i in range(span - mantissa):
            normal[i] = field[i]
    tiny = np.int64(total[0]) + np.int64(total[half])
    for i in range(bins):
        total[i] = 0
    return tiny  # type: ignore[return-value]


@kernel
def _count_subnormal(bits: Array, magnitude: Any, mantissa: int, histogram: Array) -> None:
    """Count subnormals by their true exponent: that of the significand, as an integer."""
    span = histogram.size // 2
    for i in range(bits.size):
        size = np.int64(bits[i] & magnitude)
        if 0 < size < (1 << mantissa):
            exponent = (np.float64(size).view(np.int64) >> 52) - 1023
            histogram[exponent + (span if bits[i] < 0 else 0)] += 1


@kernel
def _add_block(x: Array, bits: Array, masks: Any, state: Array, values: Array, edges: Any) -> Any:
    """Add one block to a record; returns the lowest and highest pattern seen since ``edges``."""
    magnitude, sign, infinity = masks
    low, high, zeros = _extremes(bits, magnitude, sign)
    if high < infinity and low >= -infinity:
        # The mean of earlier blocks does as well as this one's own, if it is off by four std at
        # most: then the subtraction costs 4 of 53 bits. Else the sum is taken first.
        count, mean = x.size, values[8]
        squares = rest = np.inf
        if state[0]:
            squares, rest = _deviations(x, mean)
        if not rest * rest / count <= 16.0 * (squares - rest * rest / count):
            mean = _sum(x) / count
            squares, rest = _deviations(x, mean)
            rest = _error(count, mean, squares, rest)
    else:
        low, high, zeros, nan, posinf, neginf = _finite_extremes(bits, magnitude, sign, infinity)
        state[2] += nan
        state[3] += posinf
        state[4] += neginf
        count, total = _finite_sum(x, bits, magnitude, infinity, 1.0)
        if count == 0:
            return edges
        mean = total / count
        squares, rest = _finite_deviations(x, bits, magnitude, infinity, 1.0, mean)
        rest = _error(count, mean, squares, rest)
    state[1] += zeros
    state[0], values[8], values[9], values[10] = _merge(
        (state[0], values[8], values[9], values[10]), _block(count, mean, squares, rest)
    )
    return min(edges[0], low), max(edges[1], high)


@kernel
def chunk32(address: int, size: int, record: int, counters: int) -> None:
    """Everything about ``size`` float32 at ``address`` into the record at ``record``.

    The record's words 0 to 4 become (finite, zeros, nan, posinf, neginf), its floats 8 to 12
    (mean, low word of the mean, Σ(x − mean)², min, max); the histogram follows, by sign and
    exponent. ``counters`` is the address of ``CELLS32`` uint32, all zero before and after.
    """
    x = numba.carray(pointer(address), (size,), np.float32)
    bits = numba.carray(pointer(address), (size,), np.int32)
    entries = numba.carray(pointer(address), (size,), np.uint32)
    words = numba.carray(pointer(address), (size // 2,), np.uint64)
    state = numba.carray(pointer(record), (STATE,), np.int64)
    values = numba.carray(pointer(record), (STATE,), np.float64)
    histogram = numba.carray(pointer(record + 8 * STATE), (2 * SPAN32,), np.int64)
    cells = numba.carray(pointer(counters), (CELLS32,), np.uint32)
    for i in range(STATE):
        state[i] = 0
    edges, masks = (MAGNITUDE32, ~MAGNITUDE32), (MAGNITUDE32, SIGN32, INFINITY32)
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        _count32(words[start // 2 : stop // 2], entries[start:stop], cells)
        edges = _add_block(x[start:stop], bits[start:stop], masks, state, values, edges)
    values[11] = np.int32(edges[0] ^ ((edges[0] >> SIGN32) & MAGNITUDE32)).view(np.float32)
    values[12] = np.int32(edges[1] ^ ((edges[1] >> SIGN32) & MAGNITUDE32)).view(np.float32)
    if _collect(cells, COPIES32, 512, histogram, 23) > state[1]:
        _count_subnormal(bits, MAGNITUDE32, 23, histogram)


@kernel
def chunk64(address: int, size: int, record: int, counters: int) -> None:
    """``chunk32`` for float64, with ``CELLS64`` counters."""
    x = numba.carray(pointer(address), (size,), np.float64)
    bits = numba.carray(pointer(address), (size,), np.int64)
    words = numba.carray(pointer(address), (size,), np.uint64)
    state = numba.carray(pointer(record), (STATE,), np.int64)
    values = numba.carray(pointer(record), (STATE,), np.float64)
    histogram = numba.carray(pointer(record + 8 * STATE), (2 * SPAN64,), np.int64)
    cells = numba.carray(pointer(counters), (CELLS64,), np.uint32)
    for i in range(STATE):
        state[i] = 0
    edges, masks = (MAGNITUDE64, ~MAGNITUDE64), (MAGNITUDE64, SIGN64, INFINITY64)
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        _count64(words[start:stop], cells)
        edges = _add_block(x[start:stop], bits[start:stop], masks, state, values, edges)
    values[11] = np.int64(edges[0] ^ ((edges[0] >> SIGN64) & MAGNITUDE64)).view(np.float64)
    values[12] = np.int64(edges[1] ^ ((edges[1] >> SIGN64) & MAGNITUDE64)).view(np.float64)
    if _collect(cells, COPIES64, 4096, histogram, 52) > state[1]:
        _count_subnormal(bits, MAGNITUDE64, 52, histogram)


@kernel
def _combine(records: int, rows: int, span: int) -> None:
    """Merge the records of all chunks into the first, in their order."""
    words = STATE + 2 * span
    state = numba.carray(pointer(records), (words,), np.int64)
    values = numba.carray(pointer(records), (STATE,), np.float64)
    for row in range(1, rows):
        more = numba.carray(pointer(records + 8 * words * row), (words,), np.int64)
        extra = numba.carray(pointer(records + 8 * words * row), (STATE,), np.float64)
        values[11], values[12] = min(values[11], extra[11]), max(values[12], extra[12])
        state[0], values[8], values[9], values[10] = _merge(
            (state[0], values[8], values[9], values[10]),
            (more[0], extra[8], extra[9], extra[10]),
        )
        for i in range(1, 5):
            state[i] += more[i]
        for i in range(STATE, words):
            state[i] += more[i]


@kernel
def _trim(state: Array, histogram: Array, normal: int) -> None:
    """Words 1 to 7: zeros, subnormal, nan, posinf, neginf, first exponent's index, length."""
    span = histogram.size // 2
    first, last = 0, span - 1
    while first <= last and histogram[first] + histogram[span + first] == 0:
        first += 1
    while last > first and histogram[last] + histogram[span + last] == 0:
        last -= 1
    subnormal, length = 0, last + 1 - first
    for i in range(first, normal):
        subnormal += histogram[i] + histogram[span + i]
    state[3], state[4], state[5] = state[2], state[3], state[4]
    state[2], state[6], state[7] = subnormal, first, length
    for i in range(length):
        histogram[i] = histogram[first + i]
    for i in range(length):  # never ahead of what is still to be read: length <= span
        histogram[length + i] = histogram[span + first + i]


@kernel
def _conclude(count: int, moments: Any, scale: float, values: Array) -> None:
    """Words 8 to 12: mean, std, rms, min, max; std is NaN for one entry."""
    _, mean, low, deviations = moments
    lowest, highest = values[11] + 0.0, values[12] + 0.0  # −0.0 becomes 0.0
    if count == 0:
        return
    if lowest == highest:
        values[8], values[9], values[10] = lowest, 0.0, abs(lowest)
    else:
        mean += low
        values[8] = min(max(mean / scale, lowest), highest) + 0.0
        values[9] = math.sqrt(deviations / (count - 1)) / scale
        rms = math.sqrt(mean * mean + deviations / count) / scale
        # Rounding may lift it above every entry, and near 1.8e308 above every float.
        values[10] = min(rms, max(-lowest, highest))
    if count == 1:
        values[9] = np.nan
    values[11], values[12] = lowest, highest


@kernel
def finish32(records: int, rows: int, normal: int) -> None:
    """Turn the records of a tensor's chunks into the answer, in the first of them.

    ``normal`` is the index of the smallest normal number's exponent. The answer: words 0 to 7 are
    (finite, zeros, subnormal, nan, posinf, neginf, first, length), floats 8 to 12 (mean, std, rms,
    min, max); then the histogram of ``length`` exponents from index ``first`` on, all that occur:
    positive counts, negative counts.
    """
    _combine(records, rows, SPAN32)
    state = numba.carray(pointer(records), (STATE,), np.int64)
    values = numba.carray(pointer(records), (STATE,), np.float64)
    histogram = numba.carray(pointer(records + 8 * STATE), (2 * SPAN32,), np.int64)
    _conclude(state[0], (state[0], values[8], values[9], values[10]), 1.0, values)
    _trim(state, histogram, normal)


@kernel
def finish64(records: int, rows: int, normal: int, address: int, size: int) -> None:
    """``finish32`` for float64; numbers whose squares leave float64 are read again, scaled."""
    _combine(records, rows, SPAN64)
    state = numba.carray(pointer(records), (STATE,), np.int64)
    values = numba.carray(pointer(records), (STATE,), np.float64)
    histogram = numba.carray(pointer(records + 8 * STATE), (2 * SPAN64,), np.int64)
    moments, scale = (state[0], values[8], values[9], values[10]), 1.0
    largest = max(-values[11], values[12])
    if state[0] and largest > 0.0 and not SAFE[0] < largest < SAFE[1]:
        exponent = min(max(-math.frexp(largest)[1], -1000), 1000)
        scale = math.ldexp(1.0, exponent)
        x = numba.carray(pointer(address), (size,), np.float64)
        bits = numba.carray(pointer(address), (size,), np.int64)
        moments = _moments(x, bits, MAGNITUDE64, INFINITY64, scale)
    _conclude(state[0], moments, scale, values)
    _trim(state, histogram, normal)


@kernel
def whole32(address: Any, size: Any, record: Any, counters: Any, normal: Any) -> None:
    """``chunk32`` and ``finish32`` of a tensor that is one chunk, entered once."""
    chunk32(address, size, record, counters)
    finish32(record, 1, normal)


@kernel
def whole64(address: Any, size: Any, record: Any, counters: Any, normal: Any) -> None:
    """``chunk64`` and ``finish64`` likewise."""
    chunk64(address, size, record, counters)
    finish64(record, 1, normal, address, size)


@kernel
def _difference(new: Array, old: Array, into: Array) -> None:
    """``new`` − ``old`` into ``into``, then ``new`` into ``old``."""
    for i in range(new.size):
        into[i] = new[i] - old[i]
        old[i] = new[i]


@kernel
def _copy(new: Array, into: Array) -> None:
    for i in range(new.size):
        into[i] = new[i]


@kernel
def _keep(address: int, size: int, wide: int, snapshot: int, subtracts: int, scratch: Array) -> int:
    """Bring the ``snapshot`` up to date; where it ``subtracts``, the change is at the address
    returned, in ``scratch``, else at ``address`` what it was."""
    if wide:
        x = numba.carray(pointer(address), (size,), np.float64)
        old = numba.carray(pointer(snapshot), (size,), np.float64)
        if not subtracts:
            _copy(x, old)
            return address
        _difference(x, old, scratch[:size])
        return np.int64(scratch.ctypes.data)  # type: ignore[return-value]
    y = numba.carray(pointer(address), (size,), np.float32)
    before = numba.carray(pointer(snapshot), (size,), np.float32)
    if not subtracts:
        _copy(y, before)
        return address
    into = scratch.view(np.float32)
    _difference(y, before, into[:size])
    return np.int64(scratch.ctypes.data)  # type: ignore[return-value]


@kernel
def many(table: Array, arena: Array, counters32: Array, counters64: Array) -> int:
    """The answers about many tensors, one behind the other in ``arena``; the words used.

    A row of ``table`` is a tensor: (address, size, wide, normal, snapshot, subtracts), and gains
    in its seventh column where its answer begins. An answer is ``finish32``'s, without the unused
    end of its histogram. Where ``snapshot`` is the address of as many entries, these become what
    the tensor holds now, and where it ``subtracts``, the answer is about the change since.
    """
    record32, record64 = np.empty(STATE + 2 * SPAN32, np.int64), np.empty(1, np.int64)
    largest = 0
    for row in range(table.shape[0]):
        if table[row, 2]:
            record64 = np.empty(STATE + 2 * SPAN64, np.int64)
        if table[row, 5]:
            largest = max(largest, table[row, 1])
    scratch = np.empty(largest, np.float64)
    used = 0
    for row in range(table.shape[0]):
        address, size, wide, normal = table[row, 0], table[row, 1], table[row, 2], table[row, 3]
        if table[row, 4]:
            address = _keep(address, size, wide, table[row, 4], table[row, 5], scratch)
        record = record64 if wide else record32
        at = np.int64(record.ctypes.data)
        if wide:
            whole64(address, size, at, np.int64(counters64.ctypes.data), normal)
        else:
            whole32(address, size, at, np.int64(counters32.ctypes.data), normal)
        length = STATE + 2 * record[7]
        table[row, 6] = used
        for i in range(length):
            arena[used + i] = record[i]
        used += length
    return used
