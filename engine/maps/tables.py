"""The tables of what is kept of maps, and how an older file becomes one of today."""

from __future__ import annotations

import hashlib

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    inspect,
)

from layerscope.engine.basis.build import engine_build

__all__ = ["CELLS", "MAPS", "READINGS", "map_key", "migrate"]

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
    Column("key", String(32), primary_key=True),  # see `map_key`
    Column("id", String(32), nullable=False),
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
    Column("map", ForeignKey(MAPS.c.key, ondelete="CASCADE"), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("place", Integer, nullable=False),
    Column("number", Double),
    Column("text", Text, nullable=False),
    PrimaryKeyConstraint("map", "sequence"),
)
"""The readings of a map in the order in which they came, counted from 1."""


def map_key(id: str) -> str:  # noqa: A002
    """A map as this engine computes it: servers of two engines may share a folder, and each has
    its own."""
    return hashlib.sha256(f"{id} {engine_build()}".encode()).hexdigest()[:32]


def migrate(connection: Connection, _: str) -> None:
    """Let there be the tables. Maps of a file in which engines overwrote one another's are left
    behind, and their readings kept."""
    there = inspect(connection)
    if there.has_table(MAPS.name) and "key" not in {
        c["name"] for c in there.get_columns(MAPS.name)
    }:
        metadata.drop_all(connection, [CELLS, MAPS])
    metadata.create_all(connection)
