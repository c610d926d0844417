"""What a matmul variant is: one function of two matrices, and what it says of itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from layerscope.engine.basis.registry import Registry
from layerscope.engine.basis.source import source_text
from layerscope.engine.foundations.errors import ShapeError

__all__ = ["MATMULS", "MatmulVariant", "check_operands", "matmul_variant"]

Tile = Literal["cells", "rows", "whole"]


def check_operands(a: Tensor, b: Tensor) -> None:
    """Refuse anything but two float32 matrices on the CPU whose inner sizes agree.

    Errors:
        `ShapeError` for what is no matrix, or for a's columns and b's rows that differ;
        ``TypeError`` for another dtype; ``ValueError`` for another device.

    >>> check_operands(torch.zeros(5, 784), torch.zeros(28, 10))
    Traceback (most recent call last):
        ...
    layerscope.engine.foundations.errors.ShapeError: (5, 784) @ (28, 10): a has 784 \
columns but b has 28 rows; each column of a meets one row of b
    """
    for name, matrix in (("a", a), ("b", b)):
        if matrix.dim() != 2:
            raise ShapeError(
                f"{name} has shape {tuple(matrix.shape)}; expected a matrix, so two dimensions"
            )
        if matrix.dtype != torch.float32:
            raise TypeError(f"{name} is {matrix.dtype}; expected torch.float32")
        if matrix.device.type != "cpu":
            raise ValueError(f"{name} is on {matrix.device}; expected the CPU")
    if a.shape[1] != b.shape[0]:
        raise ShapeError(
            f"{tuple(a.shape)} @ {tuple(b.shape)}: a has {a.shape[1]} columns but b has "
            f"{b.shape[0]} rows; each column of a meets one row of b"
        )


@dataclass(frozen=True)
class MatmulVariant:
    """One way to multiply two matrices; calling it checks the operands, then computes."""

    name: str
    title: str
    formula: str
    source: str
    help: str
    growth: str
    """What the time is spent on, and how that grows with m, k and n."""
    tile: Tile
    """How a long run is cut without changing the work: by ``cells`` of the result, by whole
    ``rows``, or not at all (``whole``: its speed, or its memory, lives from doing all at once)."""
    memory: str
    """Where the extra bytes come from, in words."""
    extra_bytes: Callable[[int, int, int], int] = field(repr=False)
    """Largest amount of memory the source holds at once beside a, b and the result, of (m, k, n).

    Derived from the source, not measured: torch, NumPy and Numba allocate in three different
    ways that no one tool sees, and a BLAS packs blocks into buffers it keeps for ever.
    """
    function: Callable[[Tensor, Tensor], Tensor] = field(repr=False)
    """The bare computation, without checks, as the race times it."""
    row_block: int = 1
    """A run cut by rows is cut at multiples of this many."""
    kernel: Any = field(default=None, repr=False)
    """The compiled function that does the work, where ``function`` only calls it."""

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """a @ b, of shape (m, n), for a (m, k) and b (k, n); errors as `check_operands`."""
        check_operands(a, b)
        return self.function(a, b)

    @property
    def code(self) -> str:
        """The source text of what is timed, from the engine itself."""
        text = source_text(self.function)
        code = text[text.index("def ") :]  # without the decorator that registers it
        if self.kernel is not None:
            code = f"{source_text(self.kernel.py_func).rstrip()}\n\n\n{code}"
        return re.sub(r"  # (type: ignore|noqa).*", "", code)

    def to_dict(self) -> dict[str, str]:
        """Everything a page shows of the variant."""
        return {
            "name": self.name,
            "title": self.title,
            "formula": self.formula,
            "source": self.source,
            "help": self.help,
            "growth": self.growth,
            "memory": self.memory,
            "code": self.code,
        }


MATMULS: Registry[MatmulVariant] = Registry("matmul variant")


def matmul_variant(**description: Any) -> Callable[[Callable[[Tensor, Tensor], Tensor]], Any]:
    """Register the decorated function of two matrices as a `MatmulVariant` with these fields."""

    def register(function: Callable[[Tensor, Tensor], Tensor]) -> MatmulVariant:
        return MATMULS.register(MatmulVariant(function=function, **description))

    return register
