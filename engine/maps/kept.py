"""What is kept of maps, in one file: every reading by its specification, and each map as it came.

A reading is a pure function of its specification and the engine, so that a map asked again, or
zoomed into, costs only what is new. Safe for threads and for several processes.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Row,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)  # fmt: skip

from layerscope.engine.basis.build import engine_build
from layerscope.engine.basis.refusals import InvalidParameters, refusal
from layerscope.engine.maps.outcomes import Reading
from layerscope.engine.maps.plane import Plane, Sample
from layerscope.engine.store.database import Database
from layerscope.engine.store.errors import Unavailable
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
]

FILE = "maps.db"
MOST_READINGS = 400_000
"""Kept at once, about 150 bytes each; the ones that were not asked for longest go first."""
LOOK_EVERY = 500
"""Readings between two looks at how many there are: to count them takes milliseconds."""
MOST_MAPS = 300
AT_ONCE = 500
"""Keys in one question: SQLite takes no more than about a thousand."""
UNREADABLE = "it can't be read any more"
LOST = "its process was ended, again and again: too much memory?"

State = str
"""``running``, ``finished``, ``cancelled`` or ``failed``."""

metadata = MetaData()
READINGS = Table(
    "layerscope_readings",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("number", Double),
    Column("text", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("asked", Double, nullable=False, index=True),
)
MAPS = Table(
    "layerscope_maps",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("build", String(64), nullable=False),
    Column("specification", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("total", Integer, nullable=False),
    Column("computed", Integer, nullable=False),  # not found to be known
    Column("seconds", Double, nullable=False),  # that those took, over all processes
)
CELLS = Table(
    "layerscope_map_cells",
    metadata,
    Column("map", ForeignKey(MAPS.c.id, ondelete="CASCADE"), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("place", Integer, nullable=False),
    Column("number", Double),
    Column("text", Text, nullable=False),
    PrimaryKeyConstraint("map", "sequence"),
)
"""The readings of a map in the order in which they came, counted from 1."""


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


def _standing(connection: Connection, row: Row[Any]) -> dict[str, Any]:
    done = connection.scalar(
        select(func.count()).select_from(CELLS).where(CELLS.c.map == row.id)
    ) or 0  # fmt: skip
    return {
        "id": row.id, "state": row.state, "detail": row.detail, "created": row.created,
        "total": row.total, "done": done, "computed": row.computed, "seconds": row.seconds,
    }  # fmt: skip


def _migrate(connection: Connection, _: str) -> None:
    metadata.create_all(connection)


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
        self._database = Database(URL.create("sqlite", database=path), _migrate)
        self._clock = clock
        self._kept = LOOK_EVERY - 1  # a program that keeps few looks too

    def close(self) -> None:
        """Give the connections back; new ones are opened when it is used again."""
        self._database.close()

    def known(self, samples: Sequence[Sample]) -> dict[int, Reading]:
        """The readings that are kept, by place."""
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
        """Let these be forgotten last; while another program writes, that is left undone."""
        with contextlib.suppress(Unavailable), self._database.writing() as connection:
            for at in range(0, len(keys), AT_ONCE):
                of = READINGS.c.key.in_(keys[at : at + AT_ONCE])
                connection.execute(update(READINGS).where(of).values(asked=self._clock()))

    def keep(self, came: Iterable[tuple[Sample, Reading, float]]) -> None:
        """Keep readings, and the seconds that each took."""
        with self._database.writing() as connection:
            self._keep(connection, came)

    def begin(self, plane: Plane) -> bool:
        """Let there be this map, running; whether it was not already. What another engine computed
        of it is forgotten."""
        with self._database.writing() as connection:
            found = connection.execute(
                select(MAPS.c.state, MAPS.c.build).where(MAPS.c.id == plane.id)
            ).first()
            if found is not None and found.build != engine_build():
                connection.execute(delete(MAPS).where(MAPS.c.id == plane.id))
                found = None
            if found is None:
                connection.execute(
                    insert(MAPS).values(
                        id=plane.id, build=engine_build(), state="running", detail="",
                        specification=json.dumps(plane.to_json()), created=self._clock(),
                        total=plane.total, computed=0, seconds=0.0,
                    )
                )  # fmt: skip
                self._forget_maps(connection)
                return True
            if found.state in ("running", "finished"):
                return False
            self._set(connection, plane.id, "running", "")
            return True

    def add(self, id: str, came: Sequence[tuple[Sample, Reading | None, float]]) -> State:  # noqa: A002
        """Take readings of a map, and say what state it is in: somebody may have cancelled it.

        Without a reading: of a sample whose process was ended each time; not kept for other maps.
        """
        with self._database.writing() as connection:
            state = self._state(connection, id)
            last = connection.scalar(
                select(func.max(CELLS.c.sequence)).where(CELLS.c.map == id)
            ) or 0  # fmt: skip
            rows = [
                {"map": id, "sequence": last + i, "place": sample.place,
                 "number": None if found is None else found.number,
                 "text": LOST if found is None else found.text}
                for i, (sample, found, _) in enumerate(came, 1)
            ]  # fmt: skip
            if rows:
                connection.execute(insert(CELLS), rows)
            self._keep(connection, [(s, r, took) for s, r, took in came if r is not None and took])
            took = [each[2] for each in came if each[2]]
            counted = {"computed": MAPS.c.computed + len(took),
                       "seconds": MAPS.c.seconds + sum(took)}  # fmt: skip
            connection.execute(update(MAPS).where(MAPS.c.id == id).values(counted))
            return state

    def end(self, id: str, state: State, detail: str = "") -> None:  # noqa: A002
        """Let a running map be finished, cancelled or failed; any other stays as it is."""
        with self._database.writing() as connection:
            if connection.scalar(select(MAPS.c.state).where(MAPS.c.id == id)) is None:
                raise _missing(id)
            self._set(connection, id, state, detail, of=("running",))

    def state(self, id: str) -> State:  # noqa: A002
        """The state alone of a map: a look that costs next to nothing."""
        with self._database.reading() as connection:
            return self._state(connection, id)

    def plane(self, id: str) -> Plane:  # noqa: A002
        """What a map is of, whichever engine computed it.

        Errors: ``InvalidParameters`` where it can't be read any more: a registered name is gone.
        """
        with self._database.reading() as connection:
            text = connection.scalar(select(MAPS.c.specification).where(MAPS.c.id == id))
        if text is None:
            raise _missing(id)
        return _plane(text)

    def map(self, id: str) -> KeptMap:  # noqa: A002
        """A map as it is now."""
        with self._database.reading() as connection:
            return self._map(connection, id)

    def follow(self, id: str, after: int = 0, *, limit: int = 2000) -> Following:  # noqa: A002
        """What came after this entry, at most ``limit`` readings of it."""
        with self._database.reading() as connection:
            found = self._map(connection, id)
            rows = connection.execute(
                select(CELLS).where(CELLS.c.map == id, CELLS.c.sequence > after)
                .order_by(CELLS.c.sequence).limit(limit + 1)
            ).all()  # fmt: skip
        cells = [KeptCell(r.sequence, r.place, Reading(r.number, r.text)) for r in rows[:limit]]
        return Following(found, cells, len(rows) > limit)

    def running(self) -> list[str]:
        """The ids of those that somebody computes, or should: whoever did, with this engine or
        another, may be gone."""
        with self._database.reading() as connection:
            chosen = select(MAPS.c.id).where(MAPS.c.state == "running").order_by(MAPS.c.created)
            return list(connection.scalars(chosen))

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
        row = connection.execute(
            select(MAPS).where(MAPS.c.id == id, MAPS.c.build == engine_build())
        ).first()
        if row is None:
            raise _missing(id)
        try:
            plane = _plane(row.specification)
        except InvalidParameters as error:
            raise NoSuchMap(f"Map {id}: {UNREADABLE}: {error}") from None
        return KeptMap(**_standing(connection, row), plane=plane)

    def _state(self, connection: Connection, id: str) -> State:  # noqa: A002
        state = connection.scalar(
            select(MAPS.c.state).where(MAPS.c.id == id, MAPS.c.build == engine_build())
        )
        if state is None:
            raise _missing(id)
        return str(state)

    def _set(
        self, connection: Connection, id: str, state: State, detail: str,  # noqa: A002
        of: Sequence[State] = (),
    ) -> None:  # fmt: skip
        chosen = update(MAPS).where(MAPS.c.id == id)
        if of:
            chosen = chosen.where(MAPS.c.state.in_(of))
        connection.execute(chosen.values(state=state, detail=detail))

    def _keep(
        self, connection: Connection, came: Iterable[tuple[Sample, Reading, float]]
    ) -> None:  # fmt: skip
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

    def _forget_maps(self, connection: Connection) -> None:
        over = (connection.scalar(select(func.count()).select_from(MAPS)) or 0) - MOST_MAPS
        if over > 0:
            oldest = (
                select(MAPS.c.id).where(MAPS.c.state != "running")
                .order_by(MAPS.c.created).limit(over)
            )  # fmt: skip
            connection.execute(delete(MAPS).where(MAPS.c.id.in_(oldest)))
