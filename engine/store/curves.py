"""What pictures of a run are thinned from, remembered: of a run that is looked at again, only the
entries that came since are read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from layerscope.engine.store.schema import LOSS_IS_NAN, RUNS, STEPS

__all__ = ["Curve", "Curves"]

MOST_STEPS = 1_000_000
"""Of all runs that are remembered together; 32 bytes each."""


class Curve(NamedTuple):
    """A run's steps by ``numbers``, ascending; ``losses`` are NaN where they were, 0 without one.

    ``marks``: as in the column ``nonfinite``. ``upto``: the last entry that was read.
    """

    numbers: NDArray[np.int64]
    sequences: NDArray[np.int64]
    losses: NDArray[np.float64]
    marks: NDArray[np.int64]
    upto: int

    def between(self, start: int | None, stop: int | None) -> Curve:
        """The steps with ``start`` <= number < ``stop``.

        >>> import numpy as np
        >>> whole = Curve(*[np.arange(5)] * 4, upto=5)
        >>> whole.between(1, 3).numbers.tolist(), len(whole.between(None, None).numbers)
        ([1, 2], 5)
        """
        low = 0 if start is None else int(np.searchsorted(self.numbers, start))
        high = None if stop is None else int(np.searchsorted(self.numbers, stop))
        return self.each(lambda column: column[low:high])

    def each(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Curve:
        """The same with each of its columns changed."""
        return Curve(
            change(self.numbers), change(self.sequences), change(self.losses),
            change(self.marks), self.upto,
        )  # fmt: skip


class Curves:
    """Curves of the runs that were asked for last; safe for threads.

    An entry never changes, and a run's first id and moment tell it from one that has its row after
    it was purged.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[int, str, float], Curve] = OrderedDict()

    def of(self, connection: Connection, key: int) -> Curve:
        """The whole curve of the run in this row, as the transaction sees it."""
        columns = RUNS.c.id, RUNS.c.created, RUNS.c.sequence
        run, created, sequence = connection.execute(
            select(*columns).where(RUNS.c.key == key)
        ).one()  # fmt: skip
        name = key, run, created
        with self._lock:
            known = self._known.get(name)
        if known is None or known.upto > sequence:
            curve = _read(connection, key, 0, sequence)
        elif known.upto < sequence:
            curve = _joined(known, _read(connection, key, known.upto, sequence))
        else:
            curve = known
        self._remember(name, curve)
        return curve

    def _remember(self, name: tuple[int, str, float], curve: Curve) -> None:
        with self._lock:
            self._known[name] = curve
            self._known.move_to_end(name)
            steps = sum(len(each.numbers) for each in self._known.values())
            while steps > MOST_STEPS:
                _, gone = self._known.popitem(last=False)
                steps -= len(gone.numbers)


def _read(connection: Connection, key: int, after: int, upto: int) -> Curve:
    """Entries with ``after`` < sequence <= ``upto``."""
    loss = func.coalesce(STEPS.c.loss, 0.0)
    within = [STEPS.c.run == key, STEPS.c.sequence <= upto]
    if after:  # else there is an index that has all that is asked for
        within.append(STEPS.c.sequence > after)
    query = select(STEPS.c.number, STEPS.c.sequence, loss, STEPS.c.nonfinite).where(*within)
    result = connection.execute(query.order_by(STEPS.c.number, STEPS.c.sequence))
    # The driver's own tuples: a row of a hundred thousand need not know its columns' names.
    rows = result.cursor.fetchall()
    kinds = np.int64, np.int64, np.float64, np.int64
    columns: list[NDArray[Any]] = [
        np.fromiter(map(itemgetter(i), rows), kind, len(rows)) for i, kind in enumerate(kinds)
    ]
    numbers, sequences, losses, marks = columns
    losses = np.where(marks & LOSS_IS_NAN, np.nan, losses)
    return Curve(numbers, sequences, losses, marks, upto)


def _joined(known: Curve, came: Curve) -> Curve:
    both = Curve(
        np.concatenate([known.numbers, came.numbers]),
        np.concatenate([known.sequences, came.sequences]),
        np.concatenate([known.losses, came.losses]),
        np.concatenate([known.marks, came.marks]),
        came.upto,
    )
    if len(known.numbers) and len(came.numbers) and came.numbers[0] < known.numbers[-1]:
        order = np.lexsort((both.sequences, both.numbers))
        return both.each(lambda column: column[order])
    return both
