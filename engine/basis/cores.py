"""How many cores a product may use, without touching what other threads of the process do."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np  # noqa: F401  its BLAS is loaded before the controller looks for it
import torch  # its OpenMP too
from threadpoolctl import ThreadpoolController

__all__ = ["available_cores", "keep_to_cores", "on_cores"]

_lock = threading.Lock()
_users = 0  # of NumPy's BLAS under a limit; the last one out restores it
_before: dict[str, int] = {}


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pools() -> tuple[ThreadpoolController, ThreadpoolController]:
    everything = ThreadpoolController()
    return everything.select(user_api="openmp"), everything.select(user_api="blas")


def keep_to_cores(count: int) -> None:
    """Let torch use ``count`` threads for whatever the calling thread computes from now on.

    Through OpenMP, and not by ``torch.set_num_threads``: that would also hold for threads not yet
    born, and would fix MKL's number so that `on_cores` could not raise it.
    """
    torch.get_num_threads()  # asked for the first time, it sets a thread's number itself
    for pool in _pools()[0].lib_controllers:
        pool.set_num_threads(count)


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Let torch and NumPy use ``count`` threads in the block, which must not yield to a caller.

    OpenMP keeps this number for each thread. NumPy's BLAS knows one number for the whole process;
    it comes back when no block is left.

    >>> before = torch.get_num_threads()
    >>> with on_cores(1):
    ...     torch.get_num_threads()
    1
    >>> torch.get_num_threads() == before
    True
    """
    global _users
    openmp, blas = _pools()
    with _lock:
        if _users == 0:
            _before.update({pool.filepath: pool.num_threads for pool in blas.lib_controllers})
        _users += 1
        for pool in blas.lib_controllers:
            pool.set_num_threads(count)
    try:
        with openmp.limit(limits=count):
            yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                for pool in blas.lib_controllers:
                    pool.set_num_threads(_before[pool.filepath])
