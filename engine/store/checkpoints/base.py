"""A tensor as it lies in a file: what is known before it is read, and its entries in pieces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor

__all__ = [
    "MOST_TENSORS", "PIECE_BYTES", "CheckpointError", "StoredTensor", "piece_entries", "repeated",
]  # fmt: skip

PIECE_BYTES = 2**26
"""Read at a time, however large a tensor is."""
MOST_TENSORS = 200_000


class CheckpointError(ValueError):
    """A file that can't be inspected: what was expected there, and what it holds."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a file.

    ``dtype`` is torch's name where torch has it, else the file's own. ``nbytes`` are those in the
    file. ``unread`` says why its entries can't be measured; else ``pieces`` reads them in the
    order of memory, first axis outermost unless ``by_rows`` is false: 1-D tensors of whole rows
    (slices of the first axis) where a row fits in a piece.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    pieces: Callable[[], Iterator[Tensor]]
    unread: str | None = None
    by_rows: bool = True

    @property
    def count(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)


def repeated(names: Iterable[str]) -> str | None:
    """The first name that stands there a second time; None where none does.

    >>> repeated(["a", "b", "a", "b"])
    'a'
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def piece_entries(shape: tuple[int, ...], itemsize: int) -> int:
    """How many entries of a tensor to read at a time: whole rows where one fits."""
    most = PIECE_BYTES // itemsize
    row = math.prod(shape[1:])
    return most if not 0 < row <= most else most // row * row
