"""Compiling kernels that read a tensor's memory in place, by its address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core import cgutils, types
from numba.extending import intrinsic

from layerscope.engine.statistics.machine_code import KernelCache

__all__ = ["fast_kernel", "kernel", "pointer"]

F = TypeVar("F", bound=Callable[..., Any])

# Sums may be reordered into vector lanes. NaN and Inf keep their meaning: no "nnan", no "ninf".
REORDER = {"reassoc", "nsz", "contract"}


def kernel(function: F, fastmath: Any = False) -> F:
    """Compile ``function`` without the interpreter lock, its machine code cached on disk.

    The cache lies beside the source, else in the user's cache directory, else where
    ``NUMBA_CACHE_DIR`` says; where none can be written, every process compiles for itself.
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    compiled: F = numba.njit(**options)(function)
    try:
        cache = KernelCache(function)
    except (RuntimeError, OSError):  # numba's "no locator available": nowhere to write
        pass
    else:
        compiled._cache = cache  # type: ignore[attr-defined] # as numba's ``enable_caching``
    return compiled


def fast_kernel(function: F) -> F:
    """The same for a loop whose sums may be reordered, so that it runs in vector lanes."""
    return kernel(function, REORDER)


def _pointer(_: Any, address: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


pointer: Callable[[int], Any] = intrinsic(_pointer)
"""Inside a kernel: an integer address as a pointer, for ``numba.carray``.

A plain integer enters a kernel ten times quicker than an array does, which counts when a network
has hundreds of small tensors.
"""
