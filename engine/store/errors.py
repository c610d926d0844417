"""What can go wrong with a store, as sentences; and which of it passes by itself."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError

__all__ = ["Gap", "NoSuchRun", "StoreError", "StoreWarning", "Unavailable", "translated"]


class StoreError(Exception):
    """The store can't do it, and trying again would change nothing."""


class Unavailable(StoreError):
    """The store can't do it now (locked, full, away) and changed nothing; trying again is right."""


class NoSuchRun(KeyError):
    """There is no run of this id in the store."""


class Gap(StoreError):
    """Entries before these are missing; the store has those up to and with ``received``."""

    def __init__(self, received: int) -> None:
        self.received = received
        super().__init__(f"entries after {received} are missing")


class StoreWarning(UserWarning):
    """A run is not recorded, or not wholly; told once, and the training goes on."""


WAITING = {
    "SQLITE_BUSY": "is locked by another program",
    "SQLITE_LOCKED": "is locked by another program",
    "SQLITE_FULL": "has no room left: the disk is full",
    "SQLITE_IOERR": "could not be read or written: the disk is full or failing",
    "SQLITE_NOMEM": "could not be used for want of memory",
}
"""SQLite's result codes that pass, by the beginning of their names."""
LASTING = {
    "SQLITE_READONLY": "can't be written: the file or its folder is read-only",
    "SQLITE_CANTOPEN": "can't be opened: its folder is missing or may not be written",
    "SQLITE_PERM": "may not be opened",
    "SQLITE_AUTH": "may not be opened",
    "SQLITE_CORRUPT": "is damaged",
    "SQLITE_IOERR_SHORT_READ": "is damaged: it ends too early",
    "SQLITE_NOTADB": "is no SQLite database",
    "SQLITE_TOOBIG": "can't hold a step so large",
}
"""Those that stay; looked at first."""


def translated(error: Exception, where: str) -> StoreError:
    """The sentence for what a database refused; ``where`` names it without its password."""
    if not isinstance(error, DBAPIError):
        return StoreError(f"{where} could not be used: {error}")
    original = error.orig
    if isinstance(original, sqlite3.Error):
        name = getattr(original, "sqlite_errorname", "")
        for kind, known in ((StoreError, LASTING), (Unavailable, WAITING)):
            for code, sentence in known.items():
                if name.startswith(code):
                    return kind(f"{where} {sentence}")
        return StoreError(f"{where} could not be used: {original}")
    reason = next(iter(str(original).strip().splitlines()), type(original).__name__)
    # Of servers: connections come back, and two that wrote the same row try again.
    passing = isinstance(error, OperationalError | InterfaceError | IntegrityError)
    kind = Unavailable if passing or error.connection_invalidated else StoreError
    return kind(f"{where} could not be used: {reason}")
