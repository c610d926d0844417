"""No Python loop at all: one expression, handed to torch or to NumPy."""

from __future__ import annotations

import torch
from torch import Tensor

from layerscope.engine.foundations.matmul.base import matmul_variant

__all__ = ["broadcast", "einsum", "matmul", "numpy"]

FLOAT = 4  # bytes of a float32


@matmul_variant(
    name="broadcast",
    title="broadcasting, all at once",
    formula="c = sum(a[:, :, None] ⊙ b, dim=1)",
    source="Beyond the notes: their broadcasting with the last loop gone too",
    help="No loop is left, and every one of the m·k·n products is in memory at the same time.",
    growth="m·k·n multiply-adds, each written to memory and read again",
    tile="whole",
    memory="all products: m·k·n numbers",
    extra_bytes=lambda m, k, n: FLOAT * m * k * n,
)
def broadcast(a: Tensor, b: Tensor) -> Tensor:
    """All products first, then all sums."""
    return (a[:, :, None] * b).sum(dim=1)  # (m, k, 1) * (k, n), summed to (m, n)


@matmul_variant(
    name="einsum",
    title="einsum",
    formula="c = einsum('ik,kj->ij', a, b)",
    source="The notes, “Einstein Summation”",
    help="Says which letters are kept and which summed; torch finds the matrix product in it.",
    growth="m·k·n multiply-adds in BLAS, after a fixed cost for reading the equation",
    tile="whole",
    memory="none: the operands are only viewed differently",
    extra_bytes=lambda m, k, n: 0,
)
def einsum(a: Tensor, b: Tensor) -> Tensor:
    """The notation itself."""
    return torch.einsum("ik,kj->ij", a, b)


@matmul_variant(
    name="numpy",
    title="NumPy",
    formula="c = a.numpy() @ b.numpy()",
    source="NumPy, numpy.matmul",
    help="The same memory seen as NumPy arrays, multiplied by the BLAS that NumPy brings along.",
    growth="m·k·n multiply-adds in BLAS",
    tile="whole",
    memory="none: NumPy looks at the tensors' own memory",
    extra_bytes=lambda m, k, n: 0,
)
def numpy(a: Tensor, b: Tensor) -> Tensor:
    """Without a copy there and back."""
    return torch.from_numpy(a.detach().numpy() @ b.detach().numpy())


@matmul_variant(
    name="matmul",
    title="a @ b",
    formula="c = a @ b",
    source="The notes, “Using PyTorch’s built-in matrix multiplication operator”",
    help="BLAS: vector instructions, several cores, and blocks that stay in the cache.",
    growth="m·k·n multiply-adds in BLAS",
    tile="whole",
    memory="none of its own; BLAS packs blocks into small buffers it keeps",
    extra_bytes=lambda m, k, n: 0,
)
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The operator."""
    return a @ b
