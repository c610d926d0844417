"""A file that several open at once, when it is not there yet or is not yet as we keep it."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from layerscope.engine.store import open_store
from layerscope.engine.store.errors import Unavailable


@pytest.fixture
def read_elsewhere(tmp_path):
    """A file with a rollback journal, and another program in the middle of reading it."""
    path = tmp_path / "runs.db"
    other = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    other.execute("CREATE TABLE theirs (x)")
    other.execute("BEGIN")
    other.execute("SELECT * FROM theirs").fetchall()
    yield path, other
    other.close()


@pytest.mark.parametrize("round_", range(20))
def test_four_open_a_new_one_at_once(tmp_path, round_):
    together = threading.Barrier(4)

    def runs():
        store = open_store(f"{tmp_path}/runs.db")
        together.wait()
        found, _ = store.runs()
        store.close()
        return found

    with ThreadPoolExecutor(4) as pool:
        found = [each.result() for each in [pool.submit(runs) for _ in range(4)]]
    assert found == [[]] * 4


def test_who_reads_it_meanwhile_is_waited_for(read_elsewhere):
    path, other = read_elsewhere
    store = open_store(str(path))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(store.runs)
        with pytest.raises(TimeoutError):
            asked.result(timeout=0.1)
        other.execute("COMMIT")
        assert asked.result() == ([], None)
    store.close()


def test_but_not_for_ever(read_elsewhere):
    path, _ = read_elsewhere
    with pytest.raises(Unavailable, match=r"runs\.db is locked by another program"):
        open_store(f"sqlite:///{path}?timeout=0.1").runs()
