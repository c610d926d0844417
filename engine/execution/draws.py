"""What init schemes drew last: who moves a scale, or runs a network again, draws nothing anew."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence

from torch import Tensor

__all__ = ["MOST_BYTES", "Drawn", "Draws"]

MOST_BYTES = 4 * 2**20
"""Of all that is remembered: two networks of 50 layers of 100 units."""

Drawn = tuple[Tensor, Tensor | None]
"""A weight before anything is done to it, and a bias where that is drawn; nobody writes into
either."""


class Draws:
    """The draws of whole networks, by all that decides them; the oldest are forgotten.

    >>> import torch
    >>> draws = Draws()
    >>> draws.remember("a network", [(torch.zeros(2, 2), None)])
    >>> draws.of("a network")[0][0].shape, draws.of("another")
    (torch.Size([2, 2]), None)
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, tuple[Drawn, ...]] = OrderedDict()
        self._bytes = 0

    def of(self, key: Hashable) -> tuple[Drawn, ...] | None:
        """In forward order; None where they are not known."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def worth(self, size: int) -> bool:
        """Whether draws of so many bytes are remembered."""
        return size <= self._most_bytes

    def remember(self, key: Hashable, drawn: Sequence[Drawn]) -> None:
        """Those of one network, in forward order."""
        size = _bytes(drawn)
        if not self.worth(size):
            return
        with self._lock:
            if key in self._known:
                return
            self._known[key] = tuple(drawn)
            self._bytes += size
            while self._bytes > self._most_bytes:
                self._bytes -= _bytes(self._known.popitem(last=False)[1])


def _bytes(drawn: Sequence[Drawn]) -> int:
    return sum(t.nbytes for pair in drawn for t in pair if t is not None)
