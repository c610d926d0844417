"""A database by its URL: how SQLite is opened, what a transaction is, and what refusals mean."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from layerscope.engine.store.errors import StoreError, translated
from layerscope.engine.store.schema import migrate

__all__ = ["Database"]

BUSY_SECONDS = 5.0
"""How long SQLite waits for another program's transaction; ``?timeout=`` in a URL says another."""
AGAIN_SECONDS = 0.002
"""Between two tries where SQLite refuses instead of waiting."""
CONNECT_SECONDS = 5
"""How long a server may take to let us in; ``?connect_timeout=`` in a URL says another."""
WAITING_DRIVERS = frozenset({"psycopg", "psycopg2"})
"""Drivers that otherwise wait as long as the operating system does, and know this argument."""
WAIT_SECONDS = 30.0
"""How long a thread waits for one of its process's connections."""


class Database:
    """Transactions on a database that is created, or brought up to date, by the first of them.

    Args:
        url: where it is.
        migrate: brings it up to date, within a transaction; told what messages call it.
    """

    def __init__(
        self, url: URL, migrate: Callable[[Connection, str], None] = migrate
    ) -> None:  # fmt: skip
        self.url = url
        self._migrate = migrate
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.in_memory = self.is_sqlite and url.database in (None, "", ":memory:")
        self._lock = threading.Lock()
        self._engine: Engine | None = None

    @property
    def where(self) -> str:
        """What messages call it: the file, or the URL without its password."""
        if self.in_memory:
            return "the store in memory"
        if self.is_sqlite:
            return str(self.url.database)
        return self.url.set(query={}).render_as_string(hide_password=True)

    @property
    def begun(self) -> bool:
        """Whether there may be something in it: a file that is not there was never written."""
        if not self.is_sqlite or self.in_memory or self.url.query:
            return True
        return Path(str(self.url.database)).exists()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that writes nothing, and sees one moment wherever the database can."""
        with self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed at its end, or leaves everything as it was."""
        with self._transaction(writes=True) as connection:
            yield connection

    def close(self) -> None:
        """Give the connections back."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        try:
            engine = self._ready()
            with engine.connect() as plain:
                connection = plain.execution_options(writes=writes)
                with connection.begin():
                    yield connection
        except (SQLAlchemyError, OSError) as error:
            raise translated(error, self.where) from error

    def _ready(self) -> Engine:
        with self._lock:
            if self._engine is not None:
                return self._engine
            if self.is_sqlite and not self.in_memory:
                self._folder()
            engine = self._made()
            try:
                with engine.connect() as plain:
                    connection = plain.execution_options(writes=True)
                    with connection.begin():
                        self._migrate(connection, self.where)
            except BaseException:
                engine.dispose()
                raise
            self._engine = engine
            return engine

    def _folder(self) -> None:
        path = Path(str(self.url.database).removeprefix("file:").partition("?")[0])
        if path.is_dir():
            raise StoreError(f"{path} is a folder; expected the name of a file")
        path.parent.mkdir(parents=True, exist_ok=True)

    def _made(self) -> Engine:
        if not self.is_sqlite:
            return create_engine(
                self._bounded(), pool_pre_ping=True, pool_timeout=WAIT_SECONDS
            )  # fmt: skip
        url = self.url
        if "timeout" not in url.query:
            url = url.update_query_dict({"timeout": str(BUSY_SECONDS)})
        # A database in memory is its one connection: threads take turns with it.
        sizes = {"pool_size": 1, "max_overflow": 0} if self.in_memory else {}
        engine = create_engine(
            url, poolclass=QueuePool, pool_timeout=WAIT_SECONDS,
            connect_args={"check_same_thread": False}, **sizes,
        )  # fmt: skip
        event.listen(engine, "connect", _opened)
        event.listen(engine, "begin", _begun)
        return engine

    def _bounded(self) -> URL:
        url = self.url
        if url.get_driver_name() in WAITING_DRIVERS and "connect_timeout" not in url.query:
            return url.update_query_dict({"connect_timeout": str(CONNECT_SECONDS)})
        return url


def _opened(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begun` says
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    # Readers and the writer do not wait for one another. A killed process loses nothing that was
    # committed; a power cut may lose the last commits, and never the file.
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Switch a file to a write-ahead log, also while others open it.

    Who meets another in the middle of it is refused at once, whatever the connection's timeout
    (SQLite calls no busy handler there); so the timeout is kept here.
    """
    (milliseconds,) = cursor.execute("PRAGMA busy_timeout").fetchone()
    end = time.monotonic() + milliseconds / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                raise
        time.sleep(AGAIN_SECONDS)


def _begun(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    # Who would read first and write later could be refused in the middle.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
