"""A run as a file: every figure in each format, and nothing hostile in the page."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape

import pyarrow.parquet as pq
import pytest

from layerscope.app import exported
from layerscope.app.figures import heads
from layerscope.engine.probe import parquet
from layerscope.engine.probe.glance import Glance
from layerscope.engine.probe.table import HEADER
from layerscope.engine.store.sampling import FEWEST
from tests.runs import recorded_run

HOSTILE = "</script><script>alert(1)</script><!-- scripts -->"


@pytest.fixture
def client(ask, tmp_path):
    made = ask(data_dir=tmp_path)
    stds = [[1.0, 2.0], [0.1, None], [float("nan"), 3.0]]
    recorded_run(made.app.state.store, "r", {"lr": HOSTILE}, stds, name=HOSTILE, finding=HOSTILE)
    yield made
    made.app.state.store.close()


def exported_as(client, kind):
    answer = client.get(f"/api/v1/runs/r/export?format={kind}")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="r.{kind}"'
    return answer


def test_parquet_has_what_the_text_has(client):
    table = pq.read_table(io.BytesIO(exported_as(client, "parquet").content))
    rows = list(csv.DictReader(io.StringIO(exported_as(client, "csv").text)))
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
    page = exported_as(client, "html").text
    assert "alert(1)</script>" not in page
    assert HOSTILE in unescape(page)
    own = page.partition("<script>")[0]  # ahead of Plotly, which names what it never asks for
    assert not re.search(r'(src|href|action)="', own)
    assert "url(" not in re.search(r"<style>(.*?)</style>", page, re.S)[1]
    assert "default-src 'none'" in page
    drawing = json.loads(re.search(r'id="drawing">(.*?)</script>', page, re.S)[1])
    series = client.get("/api/v1/runs/r/series?quantity=std").json()
    across = [list(row) for row in zip(*drawing["columns"]["std"], strict=True)]
    assert (across, drawing["steps"]) == (series["values"], series["steps"])
    assert drawing["faults"] == [[], [], [0]]
    assert drawing["parts"] == [[], [], [[0, 2, 0]]]  # NaN in the output
    assert drawing["lost"] == [False, False, True]


def test_the_page_tells_times_that_stay_true_and_every_setting(client):
    config = {f"s{n}": n for n in range(30)} | {"net": {"name": "x" * 300}}
    recorded_run(client.app.state.store, "told", config, [[1.0]])
    page = client.get("/api/v1/runs/told/export?format=html").text.partition("<script>")[0]
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd[^>]*>(.*?)</dd>", page))
    assert facts["begun"] == "1970-01-01 00:00:00 UTC"
    assert all(facts[name].endswith(" UTC") for name in ("last heard of", "saved"))
    assert "ago" not in facts["begun"] + facts["saved"]
    told = dict(re.findall(r'<th scope="row">([^<]*)</th><td class="setting">([^<]*)</td>', page))
    assert told == {**{f"s{n}": str(n) for n in range(30)}, "net.name": "x" * 300}
    live = client.get("/runs/told").text
    assert "<dt>more settings</dt>" in live


def test_only_the_settings_that_are_shown_are_put_into_words(client, monkeypatch):
    written, words = [], heads.value_words
    monkeypatch.setattr(heads, "value_words", lambda value: written.append(value) or words(value))
    recorded_run(client.app.state.store, "told", {f"s{n}": n for n in range(90)}, [[1.0]])
    page = client.get("/runs/told").text
    assert written == list(range(heads.MOST_CONFIG))
    assert '<dt>more settings</dt><dd class="num">78</dd>' in page


def test_a_run_of_too_many_modules_is_refused_as_a_page_and_told_how_much(client, monkeypatch):
    monkeypatch.setattr(exported, "MOST_FIGURES", 40)
    answer = client.get("/api/v1/runs/r/export?format=html")
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (422, "/docs#problem-over-limit")
    assert (problem["allowed"], problem["asked"]) == (40, 48)
    assert "expected csv or parquet" in problem["detail"]
    assert client.app.state.exports.running == 0
    assert client.get("/api/v1/runs/r/export").status_code == 200


def test_a_run_of_many_modules_has_fewer_steps_in_its_page(client, monkeypatch):
    recorded_run(client.app.state.store, "long", {}, [[1.0]] * 120)
    monkeypatch.setattr(exported, "MOST_FIGURES", 8 * 60)
    page = client.get("/api/v1/runs/long/export?format=html").text
    drawing = json.loads(re.search(r'id="drawing">(.*?)</script>', page, re.S)[1])
    assert FEWEST <= len(drawing["steps"]) <= 60


def test_each_step_is_decoded_once_for_all_quantities(client, monkeypatch):
    decoded, decode = [], Glance.from_bytes.__func__
    counted = classmethod(lambda kind, data: decoded.append(data) or decode(kind, data))
    monkeypatch.setattr(Glance, "from_bytes", counted)
    exported_as(client, "html")
    assert len(decoded) == 3


def test_only_so_many_are_written_at_once(client):
    exports = client.app.state.exports
    for _ in range(exports.most):
        exports.take()
    busy = client.get("/api/v1/runs/r/export")
    assert (busy.status_code, "retry-after" in busy.headers) == (503, True)
    assert "at most 4 at once" in busy.json()["detail"]
    exports.give()
    for kind in ("csv", "parquet", "html"):
        exported_as(client, kind)
        assert client.get("/api/v1/runs/none/export").status_code == 404
        assert exports.running == exports.most - 1
