"""Which rows of a weight do nothing, or the same as another."""

from __future__ import annotations

import hashlib
import math

import msgspec
import numpy as np
import torch
from torch import Tensor

__all__ = ["MOST_ROWS", "RowCounter", "Rows"]

MOST_ROWS = 2**22
"""Rows whose digests are kept, 16 bytes each; of more none is compared."""
DIGEST = 16


class Rows(msgspec.Struct, frozen=True):
    """Slices of a tensor's first axis: units in PyTorch's (n_out, n_in, ...), entries of a table.

    ``dead`` are zero throughout; ``duplicated`` are the same, bit for bit, as one before them, of
    those that are not dead.
    """

    count: int
    dead: int
    duplicated: int


class RowCounter:
    """Takes a tensor's pieces, in order, each of whole rows."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._length = math.prod(shape[1:])
        self._digests = np.zeros((shape[0], DIGEST), np.uint8)
        self._alive = np.zeros(shape[0], bool)
        self._seen = 0

    @staticmethod
    def takes(shape: tuple[int, ...], piece: int) -> bool:
        """Whether rows of so many entries, read ``piece`` at a time, can be compared."""
        return len(shape) > 1 and 1 < shape[0] <= MOST_ROWS and 1 < math.prod(shape[1:]) <= piece

    def add(self, piece: Tensor) -> None:
        """The next rows."""
        rows = piece.view(-1, self._length)
        place = slice(self._seen, self._seen + len(rows))
        floats = rows.float() if rows.dtype.itemsize == 1 else rows  # float8 compares with nothing
        self._alive[place] = floats.ne(0).any(1).numpy()
        for number, row in enumerate(rows.view(torch.uint8).numpy(), self._seen):
            digest = hashlib.blake2b(row.data, digest_size=DIGEST).digest()
            self._digests[number] = np.frombuffer(digest, np.uint8)
        self._seen += len(rows)

    def result(self) -> Rows:
        """Of all rows."""
        alive = self._digests[self._alive]
        # Two integers a digest: bytes that end in zeros would be cut as text.
        distinct = len(np.unique(alive.view(np.uint64), axis=0)) if len(alive) else 0
        return Rows(len(self._alive), int((~self._alive).sum()), len(alive) - distinct)
