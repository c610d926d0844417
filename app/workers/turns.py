"""A queue in which clients take turns: who asks often waits for itself, not others for it."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Turns"]

T = TypeVar("T")


class Turns(Generic[T]):
    """Items by client; taken one of each client in turn, a client's own in order.

    >>> queue = Turns()
    >>> for client, item in [("a", 1), ("a", 2), ("a", 3), ("b", 4)]:
    ...     queue.put(client, item)
    >>> [queue.take() for _ in range(5)]
    [('a', 1), ('b', 4), ('a', 2), ('a', 3), None]
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def of(self, client: str) -> int:
        """How many items wait for ``client``."""
        return len(self._waiting.get(client, ()))

    def put(self, client: str, item: T) -> None:
        """Behind the client's other items; a client that waits for nothing is the last in turn."""
        self._waiting.setdefault(client, deque()).append(item)

    def take(self, fits: Callable[[str], bool] | None = None) -> tuple[str, T] | None:
        """The next client that ``fits``, and its first item; it is then the last in turn."""
        for client, items in self._waiting.items():
            if fits is None or fits(client):
                item = items.popleft()
                del self._waiting[client]
                if items:
                    self._waiting[client] = items
                return client, item
        return None

    def remove(self, client: str, item: T) -> None:
        """Take back what waits no longer; nothing happens where it is gone already."""
        items = self._waiting.get(client)
        if items is not None and item in items:
            items.remove(item)
            if not items:
                del self._waiting[client]
