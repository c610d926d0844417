"""The notes' way up from three Python loops: fewer loops, more work per call."""

from __future__ import annotations

import torch
from torch import Tensor

from layerscope.engine.foundations.matmul.base import matmul_variant

__all__ = ["broadcast_row", "elementwise", "loops"]

FLOAT = 4  # bytes of a float32


@matmul_variant(
    name="loops",
    title="three Python loops",
    formula="c[i, j] = Σₖ a[i, k] · b[k, j]",
    source="The notes, “Matrix Multiplication from Scratch”",
    help="Every multiply-add goes through the interpreter and makes several tensors of one number.",
    growth="interpreter steps: m·k·n",
    tile="cells",
    memory="a few tensors of one number",
    extra_bytes=lambda m, k, n: 3 * FLOAT if m * k * n else 0,
)
def loops(a: Tensor, b: Tensor) -> Tensor:
    """Row by row, column by column, product by product."""
    m, n = a.shape[0], b.shape[1]
    c = torch.zeros(m, n)
    for i in range(m):
        for j in range(n):
            for k in range(a.shape[1]):
                c[i, j] += a[i, k] * b[k, j]
    return c


@matmul_variant(
    name="elementwise",
    title="elementwise inner loop",
    formula="c[i, j] = sum(a[i] ⊙ b[:, j])",
    source="The notes, “Elementwise Arithmetic”",
    help="The innermost loop becomes one multiplication of two vectors and one sum.",
    growth="interpreter steps: m·n, each with k multiply-adds in compiled code",
    tile="cells",
    memory="the products of one row with one column: k numbers",
    extra_bytes=lambda m, k, n: FLOAT * (k + 1) if m * n else 0,
)
def elementwise(a: Tensor, b: Tensor) -> Tensor:
    """A row times a column elementwise, then summed."""
    m, n = a.shape[0], b.shape[1]
    c = torch.zeros(m, n)
    for i in range(m):
        for j in range(n):
            c[i, j] = (a[i] * b[:, j]).sum()
    return c


@matmul_variant(
    name="broadcast_row",
    title="broadcasting, row by row",
    formula="c[i] = sum(a[i][:, None] ⊙ b, dim=0)",
    source="The notes, “Broadcasting”",
    help="A row of a, stood upright, is broadcast over all columns of b: one loop is left.",
    growth="interpreter steps: m, each with k·n multiply-adds in compiled code",
    tile="rows",
    memory="the products of one row with all of b: k·n numbers, and their sums",
    extra_bytes=lambda m, k, n: FLOAT * (k * n + n) if m else 0,
)
def broadcast_row(a: Tensor, b: Tensor) -> Tensor:
    """One row of the result at a time."""
    c = torch.zeros(a.shape[0], b.shape[1])
    for i in range(a.shape[0]):
        c[i] = (a[i].unsqueeze(1) * b).sum(dim=0)  # (k, 1) * (k, n), summed to (n,)
    return c
