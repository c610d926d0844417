"""Every reading that was computed, by its specification and engine: asked again, it costs nothing.

A reading is a pure function of its specification and the engine, so that a map asked again, or
zoomed into, costs only what is new.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from layerscope.engine.maps.outcomes import Reading
from layerscope.engine.maps.plane import Sample
from layerscope.engine.maps.tables import READINGS
from layerscope.engine.store.database import Database
from layerscope.engine.store.errors import StoreError

__all__ = ["Readings"]

MOST_READINGS = 400_000
"""Kept at once, about 150 bytes each; the ones that were not asked for longest go first."""
LOOK_EVERY = 500
"""Readings between two looks at how many there are: to count them takes milliseconds."""
AT_ONCE = 500
"""Keys in one question: SQLite takes no more than about a thousand."""


class Readings:
    """The readings of one database; its methods are for threads, and raise ``StoreError``."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._kept = LOOK_EVERY - 1  # a program that keeps few looks too

    def known(self, samples: Sequence[Sample]) -> dict[int, Reading]:
        """Those that are kept, by place."""
        places: dict[str, list[int]] = {}
        for sample in samples:
            places.setdefault(sample.key, []).append(sample.place)
        keys, found = list(places), {}
        for at in range(0, len(keys), AT_ONCE):
            chosen = select(READINGS.c.key, READINGS.c.number, READINGS.c.text)
            with self._database.reading() as connection:
                rows = connection.execute(
                    chosen.where(READINGS.c.key.in_(keys[at : at + AT_ONCE]))
                ).all()
            for key, number, text in rows:
                found.update(dict.fromkeys(places[key], Reading(number, text)))
        if found:
            self._asked([key for key in keys if places[key][0] in found])
        return found

    def _asked(self, keys: Sequence[str]) -> None:
        """Let these be forgotten last; where that can't be written, it is left undone."""
        with contextlib.suppress(StoreError), self._database.writing() as connection:
            for at in range(0, len(keys), AT_ONCE):
                of = READINGS.c.key.in_(keys[at : at + AT_ONCE])
                connection.execute(update(READINGS).where(of).values(asked=self._clock()))

    def keep(self, connection: Connection, came: Iterable[tuple[Sample, Reading, float]]) -> None:
        """Keep readings, and the seconds that each took, within a transaction that writes."""
        rows: list[dict[str, Any]] = [
            {"key": sample.key, "number": reading.number, "text": reading.text,
             "seconds": seconds, "asked": self._clock()}
            for sample, reading, seconds in came
        ]  # fmt: skip
        if not rows:
            return
        connection.execute(insert(READINGS).prefix_with("OR REPLACE"), rows)
        before, self._kept = self._kept // LOOK_EVERY, self._kept + len(rows)
        if self._kept // LOOK_EVERY == before:
            return
        over = (connection.scalar(select(func.count()).select_from(READINGS)) or 0) - MOST_READINGS
        if over > 0:
            oldest = select(READINGS.c.key).order_by(READINGS.c.asked).limit(over + over // 10)
            connection.execute(delete(READINGS).where(READINGS.c.key.in_(oldest)))
