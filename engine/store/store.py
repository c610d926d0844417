"""The store: where runs are written, and read by whoever looks at them. Safe for threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from sqlalchemy import URL, Connection, delete, update

from layerscope.engine.execution.records import Facts
from layerscope.engine.store import reading, writing
from layerscope.engine.store.curves import Curves
from layerscope.engine.store.database import Database
from layerscope.engine.store.entries import AnyFacts, Batch, packed
from layerscope.engine.store.errors import NoSuchRun
from layerscope.engine.store.plain import text
from layerscope.engine.store.reading import Following, Position, Run, Step
from layerscope.engine.store.schema import RUNS

__all__ = ["Store"]

MOST_TAGS = 50

T = TypeVar("T")


class Store:
    """Runs in one database, which is created by the first that writes or reads.

    Errors: of every method, ``StoreError`` with a sentence; ``Unavailable`` where it passes.
    """

    def __init__(self, url: URL, *, clock: Callable[[], float] = time.time) -> None:
        self._database = Database(url)
        self._clock = clock
        self._curves = Curves()

    @property
    def where(self) -> str:
        """What messages call it; without a password."""
        return self._database.where

    def close(self) -> None:
        """Give its connections back; it opens new ones when it is used again."""
        self._database.close()

    def append(self, run: str, batch: Batch) -> int:
        """Take what is new of a batch of the run with this id; its last entry's number is returned.

        Errors: ``Gap`` where entries before the batch are missing.
        """
        with self._database.writing() as connection:
            return writing.append(connection, run, batch, self._clock())

    def runs(self, limit: int = 50, before: str | None = None) -> tuple[list[Run], str | None]:
        """A page of runs, newest first, and the ``before`` of the next page, or None.

        Errors: ``ValueError`` for a ``before`` that none of these was.
        """
        mark = None if before is None else _mark(before)
        with self._database.reading() as connection:
            found = reading.page(connection, self._clock(), limit + 1, mark)
        more = len(found) > limit
        found = found[:limit]
        return found, f"{found[-1].created!r}:{found[-1].id}" if more else None

    def run(self, run: str) -> Run:
        """The run of this id. Errors: ``KeyError``, as of all that ask for one run."""
        with self._database.reading() as connection:
            return _known(reading.one(connection, self._clock(), run), run)

    def position(self, run: str) -> Position:
        """Where a run stands, for who polls: cheaper than `run`."""
        with self._database.reading() as connection:
            return _known(reading.position(connection, self._clock(), run), run)

    def outline(self, run: str, points: int) -> list[Step]:
        """About ``points`` steps from beginning to end, however long the run is; extremes are kept
        of a short one alone."""
        with self._database.reading() as connection:
            return reading.outline(connection, run, points, self._curves)

    def find(self, words: str) -> list[Run]:
        """Runs whose id is or begins with ``words``; else those of this name, newest first."""
        with self._database.reading() as connection:
            return reading.matching(connection, self._clock(), words)

    @overload
    def facts(self, run: str) -> list[Facts]: ...

    @overload
    def facts(self, run: str, kind: type[AnyFacts]) -> list[AnyFacts]: ...

    def facts(self, run: str, kind: type[Any] = Facts) -> list[Any]:
        """The facts of a run's modules, in forward order; ``kind`` as the run's writer told them.

        Errors: ``ValueError`` where it told something else.
        """
        return self._of(run, lambda c, key: reading.facts(c, key, kind))

    def findings(self, run: str) -> list[dict[str, Any]]:
        """A run's findings as they were told, the most severe first."""
        return self._of(run, reading.findings)

    def steps(
        self,
        run: str,
        start: int | None = None,
        stop: int | None = None,
        *,
        points: int | None = None,
        payload: bool = True,
    ) -> list[Step]:
        """A run's steps with ``start`` <= number < ``stop``, by number.

        Args:
            points: at most so many: extremes of the loss and whatever is not finite are kept.
            payload: whether the payloads are read too.
        """
        if points is None:
            return self._of(run, lambda c, k: reading.steps(c, k, start, stop, payload=payload))
        return self._of(run, lambda c, key: reading.thinned(
            c, key, self._curves.of(c, key).between(start, stop), points, payload=payload
        ))  # fmt: skip

    def nearest(self, run: str, number: int) -> Step | None:
        """A run's step whose number is nearest to ``number``, with its payload, of two as near the
        earlier: of those that have a payload, or of all where none has; None without steps."""
        return self._of(run, lambda c, key: reading.nearest(c, key, number))

    def follow(
        self, run: str, after: int = 0, *, limit: int = 1000, payload: bool = True
    ) -> Following:
        """What came after entry ``after`` of a run, in order; 0 for all of it."""
        with self._database.reading() as connection:
            found = reading.follow(connection, self._clock(), run, after, limit, payload=payload)
        return _known(found, run)

    def rename(self, run: str, name: str) -> None:
        """Give a run another name."""
        self._change(run, name=text(name))

    def tag(self, run: str, tags: Sequence[str]) -> None:
        """Put these tags in place of a run's tags."""
        self._change(run, tags=packed(list(dict.fromkeys(map(text, tags)))[:MOST_TAGS]))

    def delete(self, run: str) -> None:
        """Leave a run out of the list; ``restore`` brings it back until it is purged."""
        self._change(run, deleted=self._clock())

    def restore(self, run: str) -> None:
        """Bring a deleted run back."""
        self._change(run, deleted=None)

    def expired(self, seconds: float) -> list[str]:
        """The runs that were deleted more than ``seconds`` ago, and that nobody writes to."""
        if not self._database.begun:
            return []
        with self._database.reading() as connection:
            return reading.expired(connection, self._clock(), seconds)

    def purge(self, run: str, seconds: float) -> bool:
        """Remove one of `expired` for good; whether it still was one of them."""
        with self._database.writing() as connection:
            if not reading.expired(connection, self._clock(), seconds, run):
                return False
            connection.execute(delete(RUNS).where(RUNS.c.id == run))
            return True

    def _of(self, run: str, read: Callable[[Connection, int], T]) -> T:
        with self._database.reading() as connection:
            return read(connection, _known(reading.key_of(connection, run), run))

    def _change(self, run: str, **values: Any) -> None:
        with self._database.writing() as connection:
            done = connection.execute(update(RUNS).where(RUNS.c.id == run).values(values))
            _known(done.rowcount or None, run)


def _known(found: T | None, run: str) -> T:
    if found is None:
        raise NoSuchRun(f"there is no run {run!r}")
    return found


def _mark(before: str) -> tuple[float, str]:
    created, _, run = before.partition(":")
    try:
        return float(created), run
    except ValueError:
        raise ValueError(f"expected what `next` said, got {before[:100]!r}") from None
