"""What is kept of maps, in one file: each map as it came, and beside them every reading.

Safe for threads and for several processes, also of different engines.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Row, Select, delete, func, insert, select, update

from layerscope.engine.basis.build import engine_build
from layerscope.engine.basis.refusals import InvalidParameters, refusal
from layerscope.engine.maps.outcomes import Reading
from layerscope.engine.maps.plane import Plane, Sample
from layerscope.engine.maps.readings import Readings
from layerscope.engine.maps.tables import CELLS, MAPS, map_key, migrate
from layerscope.engine.store.database import Database
from layerscope.engine.store.location import data_dir

__all__ = [
    "FILE",
    "LOST",
    "Following",
    "KeptCell",
    "KeptMap",
    "ListedMap",
    "Maps",
    "NoSuchMap",
    "Standing",
    "State",
    "Waiting",
]

FILE = "maps.db"
MOST_MAPS = 300
UNREADABLE = "it can't be read any more"
LOST = "the process that computed it ended unexpectedly, each time that it was tried"

State = str
"""``running``, ``finished``, ``cancelled`` or ``failed``."""


class NoSuchMap(KeyError):
    """There is no map of this id that this engine computed."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a map has come. ``done`` counts experiments, as ``total`` does; ``computed`` those of
    them that were not known, which took so many ``seconds``."""

    id: str
    state: State
    detail: str
    created: float
    total: int
    done: int
    computed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class KeptMap(Standing):
    """A map: what it is of, how far it has come."""

    plane: Plane


@dataclass(frozen=True, slots=True)
class ListedMap(Standing):
    """A map as a list has it; its ``plane`` is None where that can't be read any more, and it has
    failed."""

    plane: Plane | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A map that somebody computes, or should: whoever did, with this engine or another, may be
    gone. ``key``: of the map and that engine."""

    key: str
    id: str
    specification: str

    @property
    def plane(self) -> Plane:
        """What it is of. Errors: ``InvalidParameters`` where it can't be read any more."""
        return _plane(self.specification)


@dataclass(frozen=True, slots=True)
class KeptCell:
    """A reading of a map, by when it came and the sample's place."""

    sequence: int
    place: int
    reading: Reading


@dataclass(frozen=True, slots=True)
class Following:
    """What came into a map since; ``more``: there is more to be read at once."""

    map: KeptMap
    cells: list[KeptCell]
    more: bool


def _missing(id: str) -> NoSuchMap:  # noqa: A002
    return NoSuchMap(f"There is no map {id}")


@lru_cache(maxsize=256)
def _plane(text: str) -> Plane:
    """Of a specification as it is kept: of a large plane it takes longer to read than the cells.

    Errors: ``InvalidParameters``.
    """
    try:
        body = json.loads(text)
    except ValueError as error:
        raise refusal("specification", f"is damaged: {error}") from None
    return Plane.from_json(body)


def _of(id: str, what: Any) -> Select[Any]:  # noqa: A002
    """This engine's map of this id."""
    return select(what).where(MAPS.c.key == map_key(id))


def _standing(connection: Connection, row: Row[Any]) -> dict[str, Any]:
    done = connection.scalar(
        select(func.count()).select_from(CELLS).where(CELLS.c.map == row.key)
    ) or 0  # fmt: skip
    return {
        "id": row.id, "state": row.state, "detail": row.detail, "created": row.created,
        "total": row.total, "done": done, "computed": row.computed, "seconds": row.seconds,
    }  # fmt: skip


class Maps:
    """Maps and readings in one database, which is created by the first that writes or reads.

    Errors: of every method, ``StoreError`` with a sentence, ``Unavailable`` where it passes;
    `NoSuchMap` where there is no map of this id.
    """

    def __init__(
        self, folder: Path | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:  # fmt: skip
        self.folder = data_dir() if folder is None else folder
        path = str(self.folder / FILE)
        self._database = Database(URL.create("sqlite", database=path), migrate)
        self._clock = clock
        self._readings = Readings(self._database, clock)

    def close(self) -> None:
        """Give the connections back; new ones are opened when it is used again."""
        self._database.close()

    def known(self, samples: Sequence[Sample]) -> dict[int, Reading]:
        """The readings that are kept, by place."""
        return self._readings.known(samples)

    def keep(self, came: Iterable[tuple[Sample, Reading, float]]) -> None:
        """Keep readings, and the seconds that each took."""
        rows = list(came)
        if rows:  # a transaction waits for other programs'
            with self._database.writing() as connection:
                self._readings.keep(connection, rows)

    def begin(self, plane: Plane) -> bool:
        """Let there be this map, running; whether it was not already."""
        with self._database.writing() as connection:
            state = connection.scalar(_of(plane.id, MAPS.c.state))
            if state in ("running", "finished"):
                return False
            if state is not None:
                self._set(connection, map_key(plane.id), "running", "")
                return True
            connection.execute(
                insert(MAPS).values(
                    key=map_key(plane.id), id=plane.id, build=engine_build(), state="running",
                    detail="", specification=json.dumps(plane.to_json()), created=self._clock(),
                    total=plane.total, computed=0, seconds=0.0,
                )
            )  # fmt: skip
            self._forget_maps(connection)
            return True

    def add(self, id: str, came: Sequence[tuple[Sample, Reading | None, float]]) -> State:  # noqa: A002
        """Take readings of a map, and say what state it is in: somebody may have cancelled it.

        Without a reading: of a sample whose process was ended each time; not kept for other maps.
        """
        key = map_key(id)
        with self._database.writing() as connection:
            state = self._state(connection, id)
            last = connection.scalar(
                select(func.max(CELLS.c.sequence)).where(CELLS.c.map == key)
            ) or 0  # fmt: skip
            rows = [
                {"map": key, "sequence": last + i, "place": sample.place,
                 "number": None if found is None else found.number,
                 "text": LOST if found is None else found.text}
                for i, (sample, found, _) in enumerate(came, 1)
            ]  # fmt: skip
            if rows:
                connection.execute(insert(CELLS), rows)
            self._readings.keep(
                connection, [(s, r, took) for s, r, took in came if r is not None and took]
            )
            took = [each[2] for each in came if each[2]]
            counted = {"computed": MAPS.c.computed + len(took),
                       "seconds": MAPS.c.seconds + sum(took)}  # fmt: skip
            connection.execute(update(MAPS).where(MAPS.c.key == key).values(counted))
            return state

    def end(self, id: str, state: State, detail: str = "") -> None:  # noqa: A002
        """Let a running map be finished, cancelled or failed; any other stays as it is."""
        with self._database.writing() as connection:
            self._state(connection, id)
            self._set(connection, map_key(id), state, detail, of=("running",))

    def leave(self, key: str, why: str) -> None:
        """Let a map of `waiting` that nobody computes have failed."""
        with self._database.writing() as connection:
            self._set(connection, key, "failed", why, of=("running",))

    def state(self, id: str) -> State:  # noqa: A002
        """The state alone of a map: a look that costs next to nothing."""
        with self._database.reading() as connection:
            return self._state(connection, id)

    def map(self, id: str) -> KeptMap:  # noqa: A002
        """A map as it is now."""
        with self._database.reading() as connection:
            return self._map(connection, id)

    def follow(self, id: str, after: int = 0, *, limit: int = 2000) -> Following:  # noqa: A002
        """What came after this entry, at most ``limit`` readings of it."""
        with self._database.reading() as connection:
            found = self._map(connection, id)
            rows = connection.execute(
                select(CELLS).where(CELLS.c.map == map_key(id), CELLS.c.sequence > after)
                .order_by(CELLS.c.sequence).limit(limit + 1)
            ).all()  # fmt: skip
        cells = [KeptCell(r.sequence, r.place, Reading(r.number, r.text)) for r in rows[:limit]]
        return Following(found, cells, len(rows) > limit)

    def waiting(self) -> list[Waiting]:
        """The running maps of all engines, as they were begun."""
        chosen = select(MAPS.c.key, MAPS.c.id, MAPS.c.specification)
        with self._database.reading() as connection:
            rows = connection.execute(
                chosen.where(MAPS.c.state == "running").order_by(MAPS.c.created)
            ).all()
        return [Waiting(*row) for row in rows]

    def newest(self, limit: int = 50) -> list[ListedMap]:
        """This engine's maps that were begun last; one that can't be read has failed."""
        with self._database.reading() as connection:
            rows = connection.execute(
                select(MAPS).where(MAPS.c.build == engine_build())
                .order_by(MAPS.c.created.desc(), MAPS.c.id).limit(limit)
            ).all()  # fmt: skip
            return [self._listed(connection, row) for row in rows]

    def _listed(self, connection: Connection, row: Row[Any]) -> ListedMap:
        standing = _standing(connection, row)
        try:
            return ListedMap(**standing, plane=_plane(row.specification))
        except InvalidParameters as error:
            failed = {**standing, "state": "failed", "detail": f"{UNREADABLE}: {error}"}
            return ListedMap(**failed, plane=None)

    def _map(self, connection: Connection, id: str) -> KeptMap:  # noqa: A002
        row = connection.execute(_of(id, MAPS)).first()
        if row is None:
            raise _missing(id)
        try:
            plane = _plane(row.specification)
        except InvalidParameters as error:
            raise NoSuchMap(f"Map {id}: {UNREADABLE}: {error}") from None
        return KeptMap(**_standing(connection, row), plane=plane)

    def _state(self, connection: Connection, id: str) -> State:  # noqa: A002
        state = connection.scalar(_of(id, MAPS.c.state))
        if state is None:
            raise _missing(id)
        return str(state)

    def _set(
        self, connection: Connection, key: str, state: State, detail: str,
        of: Sequence[State] = (),
    ) -> None:  # fmt: skip
        chosen = update(MAPS).where(MAPS.c.key == key)
        if of:
            chosen = chosen.where(MAPS.c.state.in_(of))
        connection.execute(chosen.values(state=state, detail=detail))

    def _forget_maps(self, connection: Connection) -> None:
        over = (connection.scalar(select(func.count()).select_from(MAPS)) or 0) - MOST_MAPS
        if over > 0:
            oldest = (
                select(MAPS.c.key).where(MAPS.c.state != "running")
                .order_by(MAPS.c.created).limit(over)
            )  # fmt: skip
            connection.execute(delete(MAPS).where(MAPS.c.key.in_(oldest)))
