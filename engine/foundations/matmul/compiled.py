"""The same loops, compiled: what the interpreter costs, and what it does not explain."""

from __future__ import annotations

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from layerscope.engine.foundations.matmul.base import matmul_variant

__all__ = ["numba_blocked", "numba_loops"]

Matrix = NDArray[np.float32]

BLOCK = 64  # rows of a block
WIDE = 256  # columns of a block: 64 × 256 float32 are 64 KiB, well inside a second-level cache


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def loops_kernel(a: Matrix, b: Matrix, c: Matrix) -> None:
    """Three loops over numbers, compiled to machine code."""
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            total = np.float32(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            c[i, j] = total


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def blocked_kernel(a: Matrix, b: Matrix, c: Matrix) -> None:
    """The loops over blocks that fit the cache; innermost along the memory of b and c."""
    m, k, n = a.shape[0], a.shape[1], b.shape[1]
    for i0 in range(0, m, BLOCK):
        for k0 in range(0, k, BLOCK):
            for j0 in range(0, n, WIDE):
                j1 = min(j0 + WIDE, n)
                for i in range(i0, min(i0 + BLOCK, m)):
                    out = c[i, j0:j1]
                    for p in range(k0, min(k0 + BLOCK, k)):
                        x, row = a[i, p], b[p, j0:j1]
                        for j in range(out.size):
                            out[j] += x * row[j]


def _contiguous(matrix: Tensor) -> Matrix:
    # One memory layout means one compilation; a matrix that has it already is not copied.
    return np.ascontiguousarray(matrix.detach().numpy())


@matmul_variant(
    name="numba_loops",
    title="Numba loops",
    formula="c[i, j] = Σₖ a[i, k] · b[k, j]",
    source="Numba, numba.njit",
    help="The three loops as they are, compiled: no interpreter, but b is read against its rows.",
    growth="m·k·n multiply-adds, one after the other; slower where b outgrows the cache",
    tile="rows",
    memory="none, for operands contiguous in memory",
    extra_bytes=lambda m, k, n: 0,
    kernel=loops_kernel,
)
def numba_loops(a: Tensor, b: Tensor) -> Tensor:
    """Hands the memory to the kernel above."""
    c = np.empty((a.shape[0], b.shape[1]), dtype=np.float32)
    loops_kernel(_contiguous(a), _contiguous(b), c)
    return torch.from_numpy(c)


@matmul_variant(
    name="numba_blocked",
    title="Numba loops, blocked",
    formula="C[I, J] += A[I, K] · B[K, J], over blocks of rows and columns",
    source="Numba, numba.njit; Lam, Rothberg & Wolf 1991 (cache blocking)",
    help="Compiled loops in an order that stays in the cache and fills the vector instructions.",
    growth="m·k·n multiply-adds, several to an instruction, on one core",
    tile="rows",
    row_block=BLOCK,
    memory="none, for operands contiguous in memory",
    extra_bytes=lambda m, k, n: 0,
    kernel=blocked_kernel,
)
def numba_blocked(a: Tensor, b: Tensor) -> Tensor:
    """Hands the memory to the kernel above."""
    c = np.zeros((a.shape[0], b.shape[1]), dtype=np.float32)
    blocked_kernel(_contiguous(a), _contiguous(b), c)
    return torch.from_numpy(c)
