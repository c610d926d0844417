"""What ``to`` means: the store beside the server's, a file, a database's URL, a server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from layerscope.engine.store.store import Store

__all__ = ["FILE", "Server", "To", "data_dir", "default_url", "located", "open_store"]

FILE = "runs.db"
To = str | os.PathLike[str] | None


@dataclass(frozen=True, slots=True)
class Server:
    """A ``layerscope serve`` elsewhere: its address without a slash at the end, and its token."""

    address: str
    token: str | None = field(default=None, repr=False)


def data_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder for everything that is written, as the server's settings have it."""
    return Path(environment.get("LAYERSCOPE_DATA_DIR") or "data")


def default_url(folder: Path, store: str = "") -> URL:
    """The store of a server whose data folder this is, and whose setting ``store`` says ``store``.

    Errors: ``ValueError``, as of `located`.

    >>> default_url(Path("data")).render_as_string()
    'sqlite:///data/runs.db'
    """
    return _url_of(store) if store else _file(folder / FILE)


def located(to: To, environment: Mapping[str, str] = os.environ) -> URL | Server:
    """Where runs go.

    Args:
        to: None for the store that ``layerscope serve`` reads when it is started in the same
            folder, with the same variables; a file; an SQLAlchemy URL; ``":memory:"``; or the
            ``http://`` address of a server, whose token is ``LAYERSCOPE_TOKEN`` or the address's
            own ``?token=``.

    Errors: ``ValueError`` for anything else, or a database for which no driver is installed.

    >>> located("runs.db").render_as_string()
    'sqlite:///runs.db'
    >>> located("http://host:8000/?token=secret").address
    'http://host:8000'
    """
    if to is None:
        return default_url(data_dir(environment), environment.get("LAYERSCOPE_STORE", ""))
    if not isinstance(to, str | os.PathLike):
        raise ValueError(f"to: expected a file, a URL or None, got {to!r}")
    words = os.fspath(to)
    if not words or "\0" in words:
        raise ValueError(f"to: expected a file, a URL or None, got {words!r}")
    if words.startswith(("http://", "https://")):
        return _server(words, environment)
    if words == ":memory:":
        return URL.create("sqlite", database=":memory:")
    return _url_of(words) if "://" in words else _file(Path(words).expanduser())


def open_store(to: To = None) -> Store:
    """The store at ``to``, to be read; as `located` has it, but for a server's address.

    Errors: ``ValueError``.
    """
    where = located(to)
    if isinstance(where, Server):
        raise ValueError(f"to: {where.address} is a server; its runs are read from its own pages")
    return Store(where)


def _file(path: Path) -> URL:
    return URL.create("sqlite", database=str(path))


def _url_of(words: str) -> URL:
    try:
        url = make_url(words)
        url.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise ValueError(
            "to: expected a file, http://host:port or an SQLAlchemy URL such as "
            f"postgresql+psycopg://user@host/name, got {_shown(words)!r}"
        ) from None
    except ImportError as error:
        raise ValueError(
            f"to: the driver of {url.drivername} is not installed ({error.name or error}); "
            'for PostgreSQL: pip install "layerscope[postgresql]"'
        ) from None
    return url


def _shown(words: str) -> str:
    """A URL up to where a password may begin."""
    return words.partition("://")[0] + "://…"


def _server(words: str, environment: Mapping[str, str]) -> Server:
    try:
        parts = urlsplit(words)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"to: expected http://host:port, got {words[:100]!r}: {error}") from None
    if not parts.hostname or parts.username is not None:
        raise ValueError("to: expected http://host:port, its token as ?token= or LAYERSCOPE_TOKEN")
    given = dict(parse_qsl(parts.query)).get("token")
    token = given or environment.get("LAYERSCOPE_TOKEN") or None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    address = f"{parts.scheme}://{host}{'' if port is None else f':{port}'}"
    return Server(address + parts.path.rstrip("/"), token)
