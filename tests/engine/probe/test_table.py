"""A run as a table: in pieces whose size does not grow with the run, as text and as Parquet."""

from __future__ import annotations

import io
import itertools
import math

import pytest

from layerscope.engine.probe import parquet, table
from layerscope.engine.store import open_store
from tests.runs import recorded_run

STEPS = [[float(n), None, math.nan if n == 7 else 1.0] for n in range(1, 31)]


@pytest.fixture
def store(tmp_path):
    made = open_store(tmp_path / "runs.db")
    recorded_run(made, "r", {}, STEPS)
    yield made
    made.close()


def test_pieces_are_some_rows_each_and_the_first_comes_before_the_rest_is_read(store, monkeypatch):
    monkeypatch.setattr(table, "ROWS", 12)
    asked, follow = [], store.follow
    counted = lambda run, after, *, limit: asked.append(limit) or follow(run, after, limit=limit)  # noqa: E731
    monkeypatch.setattr(store, "follow", counted)
    parts = table.rows(store, "r", store.facts("r"))
    first = next(parts)
    assert (len(first), asked) == (12, [4])
    every = [*first, *itertools.chain(*parts)]
    assert [row[0] for row in every] == [n for n in range(1, 31) for _ in range(3)]
    assert len(asked) == 8


def test_a_run_of_more_modules_than_a_piece_has_rows_is_read_step_by_step(store, monkeypatch):
    monkeypatch.setattr(table, "ROWS", 2)
    assert {len(part) for part in table.rows(store, "r", store.facts("r"))} == {3}


def test_parquet_comes_in_row_groups_and_is_one_file(store, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(table, "ROWS", 12)
    monkeypatch.setattr(parquet, "GROUP", 40)
    facts = store.facts("r")
    pieces = list(parquet.pieces(store, "r", facts))
    assert pieces[0] == b"PAR1"
    file = pq.ParquetFile(io.BytesIO(b"".join(pieces)))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [48, 42]
    found = file.read().to_pylist()
    every = [row for part in table.rows(store, "r", facts) for row in part]
    assert [list(row.values())[4:] for row in found] == [row[4:] for row in every]
    assert [row["module"] for row in found] == [row[3] for row in every]
