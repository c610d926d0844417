"""Runs the kernel over a tensor's memory: at once, or in chunks on several threads."""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from layerscope.engine.statistics import kernel

__all__ = ["LARGE", "helpers", "read"]

CHUNK = 1 << 18
"""Entries that a thread reads at a time, when a tensor is large enough for several."""
LARGE = 1 << 20
"""Entries from which several threads are quicker than one."""
MOST_CHUNKS = 64


class _Scratch(threading.local):
    """Memory that a thread's calls use again and again: an answer, and counters all zero."""

    def __init__(self) -> None:
        self.narrow = _scratch_memory(kernel.SPAN32, kernel.CELLS32)
        self.wide = _scratch_memory(kernel.SPAN64, kernel.CELLS64)


def _scratch_memory(span: int, cells: int) -> tuple[Any, Any, int, int]:
    record = np.empty(kernel.STATE + 2 * span, np.int64)
    counters = np.zeros(cells, np.uint32)
    return record, counters, record.ctypes.data, counters.ctypes.data


_scratch = _Scratch()


def read(address: int, size: int, wide: bool, normal: int) -> Any:
    """The answer of ``finish32``, or if ``wide`` of ``finish64``, about ``size`` floats.

    The caller keeps the memory at ``address`` alive. The array may belong to the calling thread,
    which overwrites it in its next call.
    """
    record, _, at, counters = _scratch.wide if wide else _scratch.narrow
    if size < LARGE:
        (kernel.whole64 if wide else kernel.whole32)(address, size, at, counters, normal)
        return record
    records = _read_chunks(address, size, wide)
    if wide:
        kernel.finish64(records.ctypes.data, len(records), normal, address, size)
    else:
        kernel.finish32(records.ctypes.data, len(records), normal)
    return records[0]


def _read_chunks(address: int, size: int, wide: bool) -> Any:
    """The records of all chunks, whose bounds depend on nothing but ``size``."""
    length = max(CHUNK, -(-size // MOST_CHUNKS))
    chunks = -(-size // length)
    span = kernel.SPAN64 if wide else kernel.SPAN32
    records = np.empty((chunks, kernel.STATE + 2 * span), np.int64)
    left = deque(range(chunks))
    measure, itemsize = (kernel.chunk64, 8) if wide else (kernel.chunk32, 4)

    def work() -> None:
        counters = (_scratch.wide if wide else _scratch.narrow)[3]
        while left:
            try:
                chunk = left.popleft()
            except IndexError:  # another thread was quicker
                return
            start = chunk * length
            at = records.ctypes.data + chunk * records.strides[0]
            measure(address + start * itemsize, min(length, size - start), at, counters)

    further = min(torch.get_num_threads(), chunks) - 1
    tasks = [helpers().submit(work) for _ in range(further)]
    work()
    for task in tasks:
        task.result()
    return records


_lock = threading.Lock()
_helpers: ThreadPoolExecutor | None = None


def helpers() -> ThreadPoolExecutor:
    """Threads for compiled calls, which do not hold the interpreter's lock; none of these waits for
    another."""
    global _helpers
    with _lock:
        if _helpers is None:
            _helpers = ThreadPoolExecutor(os.cpu_count(), "statistics")
        return _helpers


def _forget_pool() -> None:
    global _helpers, _lock
    _helpers, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)  # threads do not survive a fork
