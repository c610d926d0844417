"""Runs on the same axes: figures are each run's own, differences and findings side by side."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest

from tests.runs import recorded_run

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def client(ask, tmp_path):
    made = ask(data_dir=tmp_path)
    store = made.app.state.store
    other = {"lr": 0.2, "net": {"depth": 2}, HOSTILE: HOSTILE}
    stds = [[3.0, None], [float("nan"), None]]
    recorded_run(store, "a", {"lr": 0.1, "net": {"depth": 2, "width": 8}}, [[1.0, 2.0]] * 3)
    recorded_run(store, "b", other, stds, name=HOSTILE, finding="nonfinite")
    yield made
    store.close()


def test_each_has_its_own_series_and_the_rest_side_by_side(client):
    found = client.get("/api/v1/compare?run=a&run=b&quantity=std&module=block.0.linear").json()
    a, b = found["runs"]
    for each in (a, b):
        url = f"/api/v1/runs/{each['id']}/series"
        own = client.get(f"{url}?quantity=std&modules=block.0.linear").json()
        assert (each["steps"], each["values"]) == (own["steps"], own["values"][0])
        assert each["loss"] == client.get(f"{url}?quantity=loss").json()["values"][0]
    assert (a["faulty"], b["faulty"]) == ([], [2])
    assert found["differs"] == {
        "lr": ["0.1", "0.2"], "net.width": ["8", None], HOSTILE: [None, HOSTILE],
    }  # fmt: skip
    assert found["same"] == {"net.depth": "2", "modules": "2"}
    assert [f["rule"] for f in found["findings"]["nonfinite"][1]] == ["nonfinite"]
    assert found["findings"]["nonfinite"][0] == []


def test_a_module_that_only_one_has_is_null_in_the_other(client):
    recorded_run(client.app.state.store, "c", {}, [[1.0]])
    found = client.get("/api/v1/compare?run=a&run=c&module=block.1.linear").json()
    assert [each["values"] is None for each in found["runs"]] == [False, True]
    assert client.get("/api/v1/compare?run=a&run=c").json()["module"] == "block.0.linear"
    page = client.get("/compare?run=a&run=c&module=block.1.linear").text
    assert "no such module" in page


@pytest.mark.parametrize(
    ("query", "status"),
    [("run=a", 422), ("run=a&run=none", 404), ("run=a&run=b&module=z", 422),
     ("run=a&run=b&quantity=fun", 422), ("&".join(f"run={n}" for n in range(9)), 422)],
)  # fmt: skip
def test_a_bad_question_is_refused(client, query, status):
    assert client.get(f"/api/v1/compare?{query}").status_code == status
    if query != "run=a":
        page = client.get(f"/compare?{query}")
        assert (page.status_code, "Nothing to show" in page.text) == (status, True)


def test_the_page_has_every_figure_without_scripts_and_no_hostile_text(client):
    page = client.get("/compare?run=a&run=b&module=block.0.linear&step=1").text
    assert "<script>alert" not in page
    assert HOSTILE in unescape(page)
    drawing = json.loads(unescape(re.search(r'id="drawing">(.*?)</script>', page, re.S)[1]))
    api = client.get("/api/v1/compare?run=a&run=b&module=block.0.linear").json()
    for drawn, each in zip(drawing["runs"], api["runs"], strict=True):
        assert (drawn["loss"], drawn["values"]) == (each["loss"], each["values"])
    assert re.search(r'value="a" checked', page)
    at_the_step = re.findall(r'<td class="num">([^<]*)</td>', page)
    assert "3.00" in at_the_step


def test_runs_are_chosen_from_the_list_and_from_an_empty_page(client):
    assert 'name="run" value="a" form="compare-form"' in client.get("/runs").text
    page = client.get("/compare").text
    assert "Choose two to 8 runs" in page
    assert page.count('type="checkbox" name="run"') == 2
