"""A run as a file: every figure in each format, and nothing hostile in the page."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape

import pyarrow.parquet as pq
import pytest

from layerscope.engine.probe import parquet
from layerscope.engine.probe.table import HEADER
from tests.runs import recorded_run

HOSTILE = "</script><script>alert(1)</script><!-- scripts -->"


@pytest.fixture
def client(ask, tmp_path):
    made = ask(data_dir=tmp_path)
    stds = [[1.0, 2.0], [0.1, None], [float("nan"), 3.0]]
    recorded_run(made.app.state.store, "r", {"lr": HOSTILE}, stds, name=HOSTILE, finding=HOSTILE)
    yield made
    made.app.state.store.close()


def exported(client, kind):
    answer = client.get(f"/api/v1/runs/r/export?format={kind}")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="r.{kind}"'
    return answer


def test_parquet_has_what_the_text_has(client):
    table = pq.read_table(io.BytesIO(exported(client, "parquet").content))
    rows = list(csv.DictReader(io.StringIO(exported(client, "csv").text)))
    assert table.column_names == list(HEADER) == list(rows[0])
    found = table.to_pylist()
    assert [str(row["step"]) for row in found] == [row["step"] for row in rows]
    for name in ("module", "loss", "std"):
        texts = ["" if row[name] is None else str(row[name]) for row in found]
        assert texts == [row[name] for row in rows]
    assert [row["std"] for row in found] == [1.0, 2.0, 0.1, None, None, 3.0]


def test_a_run_without_a_step_is_an_empty_table(client):
    recorded_run(client.app.state.store, "empty", {}, [], modules=())
    table = pq.read_table(
        io.BytesIO(client.get("/api/v1/runs/empty/export?format=parquet").content)
    )
    assert (table.num_rows, table.column_names) == (0, list(HEADER))
    assert "No step was recorded" in client.get("/api/v1/runs/empty/export?format=html").text


def test_without_pyarrow_it_is_said_what_to_install(client, monkeypatch):
    monkeypatch.setattr(parquet, "available", lambda: False)
    answer = client.get("/api/v1/runs/r/export?format=parquet")
    assert answer.status_code == 422
    assert 'pip install "layerscope[parquet]"' in answer.json()["detail"]


def test_another_format_is_refused_by_name(client):
    answer = client.get("/api/v1/runs/r/export?format=exe")
    assert answer.status_code == 422
    assert "expected one of csv, parquet, html" in answer.json()["detail"]


def test_the_page_holds_the_figures_asks_for_nothing_and_escapes_what_is_hostile(client):
    page = exported(client, "html").text
    assert "alert(1)</script>" not in page
    assert HOSTILE in unescape(page)
    own = page.partition("<script>")[0]  # ahead of Plotly, which names what it never asks for
    assert not re.search(r'(src|href|action)="', own)
    assert "url(" not in re.search(r"<style>(.*?)</style>", page, re.S)[1]
    assert "default-src 'none'" in page
    drawing = json.loads(re.search(r'id="drawing">(.*?)</script>', page, re.S)[1])
    series = client.get("/api/v1/runs/r/series?quantity=std").json()
    across = [list(row) for row in zip(*drawing["quantities"]["std"], strict=True)]
    assert (across, drawing["steps"]) == (series["values"], series["steps"])
    assert drawing["faults"] == [[], [], [0]]
    assert drawing["lost"] == [False, False, True]
