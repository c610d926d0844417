"""Stores of every kind, and a PostgreSQL of the tests' own."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerscope.engine.store import RunWriter, Store, open_run

ROOT = 0
numbers = itertools.count()
SYSTEM = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """The folder of PostgreSQL's programs; Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    return next(iter(sorted(SYSTEM.glob("*/bin"), reverse=True)), None)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a server on a free port, gone afterwards; a database's name is to be added."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL's programs are not installed")
    # It refuses to run as root.
    user = {"user": "postgres"} if os.geteuid() == ROOT else {}
    with tempfile.TemporaryDirectory() as temporary, socket.socket() as free:
        data = Path(temporary) / "data"
        data.mkdir()
        if user:
            Path(temporary).chmod(0o755)
            shutil.chown(data, "postgres")

        def call(*words: object) -> None:
            with Path(temporary, "log").open("ab") as log:
                done = subprocess.run(list(map(str, words)), stdout=log, stderr=log, **user)
            assert done.returncode == 0, Path(temporary, "log").read_text()

        call(folder / "initdb", "-D", data, "-A", "trust", "-U", "layerscope", "--no-sync")
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        options = (
            f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        )
        call(folder / "pg_ctl", "-D", data, "-l", data / "log", "-w", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://layerscope@127.0.0.1:{port}"
        finally:
            call(folder / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


@pytest.fixture(params=["file", "memory", pytest.param("postgresql", marks=pytest.mark.slow)])
def to(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where runs go: an empty database of each kind."""
    if request.param != "postgresql":
        return "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path}/runs.db"
    return str(request.getfixturevalue("database"))


@pytest.fixture
def database(postgresql: str) -> str:
    """The URL of an empty database in PostgreSQL."""
    import psycopg

    name = f"runs{next(numbers)}"
    with psycopg.connect(
        f"{postgresql}/postgres".replace("+psycopg", ""), autocommit=True
    ) as server:
        server.execute(f"CREATE DATABASE {name}")
    return f"{postgresql}/{name}"


@pytest.fixture
def written(to: str) -> Iterator[Callable[..., RunWriter]]:
    """``written(steps)`` is a finished run of these steps, each (number, loss, payload)."""
    stores: list[Store] = []

    def write(*steps: tuple[int, float | None, bytes], **given: object) -> RunWriter:
        writer = open_run(to, **given)
        assert writer.store is not None
        stores.append(writer.store)
        for step in steps:
            writer.step(*step)
        writer.finish()
        assert writer.lost == 0
        return writer

    yield write
    for store in stores:
        store.close()
