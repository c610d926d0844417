"""Where a writer's batches go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from layerscope.engine.store.entries import Batch
from layerscope.engine.store.errors import Gap, StoreError
from layerscope.engine.store.store import Store

__all__ = ["Sink", "StoreSink", "Tell"]

Tell = Callable[[str, str], None]
"""``tell(kind, sentence)``: says to the user what is the matter, once for each kind."""


class Sink(Protocol):
    """Takes the batches of one run, in order, all from one thread."""

    def write(self, batch: Batch) -> None:
        """Keep ``batch``. Errors: ``Unavailable`` to be tried again, ``StoreError`` for good."""

    def hurry(self, deadline: float) -> None:
        """From another thread: begin nothing after ``deadline``, by `time.monotonic`."""

    def close(self) -> None:
        """Nothing more comes."""


class StoreSink:
    """Straight into a database."""

    def __init__(self, store: Store, run: str) -> None:
        self._store = store
        self._run = run

    def write(self, batch: Batch) -> None:
        try:
            self._store.append(self._run, batch)
        except Gap as gap:
            raise StoreError(
                f"{self._store.where} has lost this run: it was replaced or cleared ({gap})"
            ) from None

    def hurry(self, deadline: float) -> None:
        """A database's own limits are short."""

    def close(self) -> None:
        """The store may still be read."""
