"""Whatever is the matter with the store: the training goes on, nothing is raised, told once."""

from __future__ import annotations

import itertools
import os
import re
import sqlite3
import tempfile
import threading
import warnings
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from layerscope.engine.store import (
    Store,
    StoreError,
    StoreWarning,
    open_run,
    open_store,
    schema,
)
from layerscope.engine.store.database import Database

STEPS = 200


def train(to):
    """A training that is told to, and what its user was told."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with open_run(to) as writer:
            for number in range(STEPS):
                writer.step(number, 1.0, bytes(500))
    assert {warning.category for warning in told} <= {StoreWarning}
    return writer, [str(warning.message) for warning in told]


GARBAGE = b"This is no SQLite database, however long it is. " * 400


def damaged(path):
    """A store whose pages are torn, its first one too."""
    train(path)[0].store.close()
    whole = bytearray(path.read_bytes())
    whole[100:] = os.urandom(len(whole) - 100)
    path.write_bytes(whole)


def cut(path):
    train(path)[0].store.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 3)


def newer(path):
    train(path)[0].store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE layerscope_schema SET version = 99")
    connection.close()


def a_folder(path):
    path.mkdir()


def below_a_file(path):
    path.parent.rmdir()
    path.parent.write_text("a file")


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda path: path.write_bytes(GARBAGE), "is no SQLite database"),
        (damaged, "is damaged"),
        (cut, "is damaged"),
        (newer, "was written by a newer Layerscope .schema 99; this one knows 1"),
        (a_folder, "is a folder; expected the name of a file"),
        (below_a_file, "could not be used"),
    ],
)
def test_what_cannot_be_mended_is_told_once(tmp_path, prepare, said):
    path = tmp_path / "sub" / "runs.db"
    path.parent.mkdir()
    prepare(path)
    before = path.read_bytes() if path.is_file() else None
    writer, (sentence,) = train(path)
    assert re.search(said, sentence)
    assert sentence.endswith("The training goes on; this run is no longer recorded.")
    assert writer.lost == STEPS + 2
    assert before is None or path.read_bytes() == before
    with pytest.raises(StoreError, match=said):
        open_store(path).runs()


def test_a_read_only_database_is_told_of(tmp_path):
    train(tmp_path / "runs.db")
    url = f"sqlite:///file:{tmp_path}/runs.db?mode=ro&uri=true"
    _, (sentence,) = train(url)
    assert "can't be written: the file or its folder is read-only" in sentence


def test_a_folder_that_may_not_be_written(tmp_path, interpreter):
    tmp_path.chmod(0o555)
    program = (
        "import os, sys\n"
        "from layerscope.engine.store import open_run\n"
        "if os.geteuid() == 0:\n"
        "    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "for folder in ('', 'sub/'):\n"
        "    with open_run(f'{sys.argv[1]}/{folder}runs.db') as writer:\n"
        "        writer.step(1, 1.0, b'')\n"
        "    assert writer.lost == 3\n"
    )
    for parent in itertools.takewhile(Path(tempfile.gettempdir()).__ne__, tmp_path.parents):
        parent.chmod(0o755)
    done = interpreter.run("-c", program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("The training goes on; this run is no longer recorded.") == 2
    assert "<string>:6: StoreWarning: layerscope: " in done.stderr  # the user's own line
    assert "its folder is missing or may not be written" in done.stderr


def test_a_locked_database_is_tried_again_until_it_is_free(tmp_path, until):
    path = tmp_path / "runs.db"
    train(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        writer = open_run(f"sqlite:///{path}?timeout=0.01")
        for number in range(STEPS):
            writer.step(number, 1.0, b"")
        until(lambda: told)
    (warning,) = told
    assert "is locked by another program; the training goes on" in str(warning.message)
    other.execute("COMMIT")
    other.close()
    writer.finish()
    assert writer.lost == 0
    assert [s.number for s in writer.store.steps(writer.id)] == list(range(STEPS))


def test_one_that_stays_locked_is_given_up_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("layerscope.engine.store.writer.FINISH_SECONDS", 0.1)
    path = tmp_path / "runs.db"
    train(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer, told = train(f"sqlite:///{path}?timeout=0.01")
    other.close()
    assert len(told) == 2
    assert "is locked" in told[0]
    assert "could not take the end of this run" in told[1]
    assert writer.lost == STEPS + 2


def test_one_that_never_answers_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("layerscope.engine.store.writer.LEAVE_SECONDS", 0.05)
    answers = threading.Event()
    monkeypatch.setattr(Store, "append", lambda *_: answers.wait())
    writer = open_run(tmp_path / "runs.db")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        writer.finish()
        writer.finish()
    answers.set()
    (warning,) = told
    assert "has not answered for 0.05 s; the end of this run may be missing" in str(warning.message)


def test_a_database_server_is_not_waited_for_without_end():
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    url = make_url("postgresql+psycopg://user@host/name")
    for given, seconds in ((url, "5"), (url.set(query={"connect_timeout": "60"}), "60")):
        assert Database(given)._made().url.query["connect_timeout"] == seconds


FULL = """
import resource, sys, warnings
from layerscope.engine.store import open_run, writer as module
module.FINISH_SECONDS = 0.3
warnings.simplefilter("always")
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
with open_run(sys.argv[1]) as writer:
    for number in range(400):
        writer.step(number, 1.0, bytes(5000))
print(writer.lost)
"""


def test_a_full_disk_ends_no_training_and_breaks_no_file(tmp_path, interpreter):
    path = tmp_path / "runs.db"
    whole, _ = train(path)
    done = interpreter.run("-c", FULL, path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
    assert done.stderr.count("the disk is full") == 1
    assert "Traceback" not in done.stderr
    store = open_store(path)
    assert len(store.steps(whole.id)) == STEPS
    assert check(path) == "ok"
    store.close()


def check(path):
    connection = sqlite3.connect(path)
    (said,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    return said


def test_warnings_that_are_errors_end_no_training(tmp_path, interpreter):
    (tmp_path / "runs.db").write_bytes(GARBAGE)
    program = (
        "import sys\n"
        "from layerscope.engine.store import open_run\n"
        "with open_run(sys.argv[1]) as writer:\n"
        "    writer.step(1, 1.0, b'')\n"
    )
    done = interpreter.run("-W", "error::UserWarning", "-c", program, tmp_path / "runs.db")
    assert done.returncode == 0
    assert "is no SQLite database" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(params=["file", pytest.param("postgresql", marks=pytest.mark.slow)])
def kept(request, tmp_path):
    """A database that outlives its connections."""
    if request.param == "file":
        return f"sqlite:///{tmp_path}/runs.db"
    return request.getfixturevalue("database")


def test_an_older_schema_is_brought_up_to_date_or_left_as_it_was(kept, monkeypatch):
    writer, _ = train(kept)
    writer.store.close()
    database = Database(make_url(kept))

    def second(connection):
        connection.execute(text("ALTER TABLE layerscope_runs ADD COLUMN colour VARCHAR(9)"))

    def broken(connection):
        second(connection)
        connection.execute(text("SELECT nothing FROM nowhere"))

    create = schema.MIGRATIONS[1]
    monkeypatch.setattr(schema, "MIGRATIONS", {1: create, 2: broken})
    with pytest.raises(StoreError), database.reading():
        pass
    monkeypatch.setattr(schema, "MIGRATIONS", {1: create, 2: second})
    with database.reading() as connection:
        assert schema.version(connection) == 2
        colours = connection.execute(text("SELECT colour FROM layerscope_runs")).all()
    assert [tuple(row) for row in colours] == [(None,)]
    database.close()
    assert len(writer.store.steps(writer.id)) == STEPS
    writer.store.close()
    monkeypatch.undo()
    with pytest.raises(
        StoreError, match=r"written by a newer Layerscope \(schema 2; this one knows"
    ):
        writer.store.runs()
