"""The tables, their version, and how an older file becomes one of today: all in this one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    insert,
    inspect,
    select,
    text,
    update,
)  # fmt: skip

from layerscope.engine.store.errors import StoreError

__all__ = [
    "FINDINGS", "LOSS_IS_NAN", "MIGRATIONS", "OTHER_NONFINITE", "RUNS", "STEPS", "migrate",
    "version",
]  # fmt: skip

metadata = MetaData()

VERSION = Table("layerscope_schema", metadata, Column("version", Integer, nullable=False))

RUNS = Table(
    "layerscope_runs",
    metadata,
    Column("key", Integer, primary_key=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", Double, nullable=False),  # seconds since 1970, as all times here
    Column("heartbeat", Double, nullable=False),
    Column("deleted", Double),
    Column("sequence", BigInteger, nullable=False),  # of the last entry that was taken
    Column("steps", BigInteger, nullable=False),
    Column("last_number", BigInteger),
    Column("last_loss", Double),
    Column("last_nonfinite", SmallInteger, nullable=False),
    Column("config", LargeBinary, nullable=False),
    Column("summary", LargeBinary),
    Column("tags", LargeBinary),
    Column("modules", LargeBinary),
    Column("modules_at", BigInteger, nullable=False),  # the entry that told them; 0 for none
    Column("findings_at", BigInteger, nullable=False),
    Index("layerscope_runs_by_age", "created", "id"),
)
"""One row a run, rewritten with every batch."""

STEPS = Table(
    "layerscope_steps",
    metadata,
    Column("run", ForeignKey(RUNS.c.key, ondelete="CASCADE"), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("time", Double, nullable=False),
    Column("loss", Double),
    Column("nonfinite", SmallInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    PrimaryKeyConstraint("run", "sequence"),
    # What a picture of a whole run is made of, without touching a payload.
    Index("layerscope_steps_by_number", "run", "number", "sequence", "loss", "nonfinite"),
)
"""One row a step."""

LOSS_IS_NAN = 1
"""In ``nonfinite``, because SQLite makes NULL of a NaN."""
OTHER_NONFINITE = 2

FINDINGS = Table(
    "layerscope_findings",
    metadata,
    Column("run", ForeignKey(RUNS.c.key, ondelete="CASCADE"), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("place", Integer, nullable=False),
    Column("severity", String(200), nullable=False),
    Column("title", String(200), nullable=False),
    Column("finding", LargeBinary, nullable=False),
    PrimaryKeyConstraint("run", "sequence", "place"),
)


def _create(connection: Connection) -> None:
    metadata.create_all(connection)


MIGRATIONS: Mapping[int, Callable[[Connection], None]] = {1: _create}
"""What makes a version of the one before it, from nothing on; the last one is today's."""
LOCK = 0x6C61796572  # any number, the same for all of us


def migrate(connection: Connection, where: str) -> None:
    """Bring the database up to date, all or nothing, within the transaction of ``connection``.

    Errors: ``StoreError`` where a newer Layerscope wrote it.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    found = version(connection)
    newest = max(MIGRATIONS)
    if found > newest:
        raise StoreError(
            f"{where} was written by a newer Layerscope (schema {found}; this one knows {newest})"
        )
    if found == newest:
        return
    for number in range(found + 1, newest + 1):
        MIGRATIONS[number](connection)
    known = connection.scalar(select(VERSION.c.version))
    connection.execute((insert if known is None else update)(VERSION).values(version=newest))


def version(connection: Connection) -> int:
    """The schema's version; 0 where there is none of ours."""
    if not inspect(connection).has_table(VERSION.name):
        return 0
    return connection.scalar(select(VERSION.c.version)) or 0
