"""Runs on the same axes: figures are each run's own, differences and findings side by side."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest

from layerscope.app import compared
from layerscope.app.figures.text import number
from layerscope.engine.probe import series
from layerscope.engine.probe.glance import Glance
from layerscope.engine.store import Batch
from layerscope.engine.store.entries import Start, StepEntry
from tests.runs import recorded_run

HOSTILE = "<script>alert(1)</script>"
HTMX = {"HX-Request": "true"}


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


def shown(page):
    """Of the fragment: what the script reads of it."""
    words = re.search(r'<div id="as-shown"(.*?)></div>', page, re.S)[1]
    return {k: unescape(v) for k, v in re.findall(r'([\w-]+)="([^"]*)"', words)}


def rows(page, heading):
    """The cells of the table below this heading, as text, row by row."""
    table = re.search(rf"<h2[^>]*>{heading}</h2>.*?<tbody>(.*?)</tbody>", page, re.S)[1]
    return [
        [
            unescape(re.sub(r"<[^>]*>", "", cell)).strip()
            for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)
        ]
        for row in table.split("</tr>")[:-1]
    ]


def test_each_has_its_own_series_and_the_rest_side_by_side(client):
    found = client.get("/api/v1/compare?run=a&run=b&quantity=std&module=block.0.linear").json()
    a, b = found["runs"]
    for each in (a, b):
        url = f"/api/v1/runs/{each['id']}/series"
        own = client.get(f"{url}?quantity=std&modules=block.0.linear").json()
        assert (each["steps"], each["values"]) == (own["steps"], own["values"][0])
        assert each["loss"] == client.get(f"{url}?quantity=loss").json()["values"][0]
    assert (a["faulty"], b["faulty"]) == ([], [2])
    assert (a["modules"], b["modules"]) == (2, 2)
    assert found["differs"] == {
        "lr": ["0.1", "0.2"], "net.width": ["8", None], HOSTILE: [None, HOSTILE],
    }  # fmt: skip
    assert found["same"] == {"net.depth": "2"}
    assert found["left_out"] == 0
    assert [f["rule"] for f in found["findings"]["nonfinite"][1]] == ["nonfinite"]
    assert found["findings"]["nonfinite"][0] == []


def test_settings_are_compared_whole_and_by_kind(client):
    long = "x" * 500
    one = {
        "n": 1,
        "modules": 7,
        "text": f"{long}a",
        "net": {"lr": 1},
        "net.lr": 2,
        "order": {"p": 1, "q": [True]},
    }
    two = {
        "n": "1",
        "modules": 7,
        "text": f"{long}b",
        "net": {"lr": 1},
        "net.lr": 3,
        "order": {"q": [1], "p": 1},
    }
    for name, config in (("one", one), ("two", two)):
        recorded_run(client.app.state.store, name, config, [[1.0]])
    found = client.get("/api/v1/compare?run=one&run=two").json()
    assert found["differs"] == {
        "n": ["1", '"1"'], "text": [f"{long}a", f"{long}b"], '"net.lr"': ["2", "3"],
        "order.q": ["[true]", "[1]"],
    }  # fmt: skip
    assert found["same"] == {"modules": "7", "net.lr": "1", "order.p": "1"}
    page = client.get("/compare?run=one&run=two").text
    told = {name: cells for name, *cells in rows(page, "What they differ in")}
    assert [cell[-3:] for cell in told["text"]] == ["xxa", "xxb"]


def test_what_is_not_finite_is_told_apart_within_a_setting_too(client):
    values = (None, float("nan"), float("inf"), {"a.b": [float("-inf")]})
    for name, value in zip("klmn", values, strict=True):
        recorded_run(client.app.state.store, name, {"betas": [0.9, value]}, [[1.0]])
    found = client.get("/api/v1/compare?run=k&run=l&run=m&run=n").json()
    texts = ["[0.9,null]", "[0.9,nan]", "[0.9,inf]", '[0.9,{"a.b":[-inf]}]']
    assert found["differs"] == {"betas": texts}


def test_it_is_said_how_many_settings_are_left_out(client):
    for name in ("one", "two"):
        config = {f"s{n}": n for n in range(compared.MOST_SETTINGS + 3)}
        recorded_run(client.app.state.store, name, {**config, "own": name}, [[1.0]])
    found = client.get("/api/v1/compare?run=one&run=two").json()
    assert (len(found["same"]), list(found["differs"]), found["left_out"]) == (199, ["own"], 4)
    assert "4 more settings are left out" in client.get("/compare?run=one&run=two").text


def test_a_module_that_only_one_has_is_null_in_the_other(client):
    recorded_run(client.app.state.store, "c", {}, [[1.0]])
    found = client.get("/api/v1/compare?run=a&run=c&module=block.1.linear").json()
    assert [each["values"] is None for each in found["runs"]] == [False, True]
    assert client.get("/api/v1/compare?run=a&run=c").json()["module"] == "block.0.linear"
    page = client.get("/compare?run=a&run=c&module=block.1.linear").text
    assert "no such module" in page


def test_what_is_the_whole_runs_is_of_no_module_and_a_size_is_called_one(client):
    given = "run=a&run=b&module=block.0.linear"
    found = client.get(f"/api/v1/compare?{given}&quantity=learning_rate").json()
    assert found["module"] is None
    assert [each["values"] for each in found["runs"]] == [[0.1] * 3, [0.1] * 2]
    page = client.get(f"/compare?{given}&quantity=learning_rate").text
    assert shown(page)["data-heading"] == "Learning rate"
    assert "data-of-the-run" in page
    page = client.get(f"/compare?{given}&quantity=mean").text
    assert shown(page)["data-heading"] == "|Activation mean| of block.0.linear"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "status"),
    [("run=a", 422), ("run=a&run=none", 404), ("run=a&run=b&module=z", 422),
     ("run=a&run=b&quantity=fun", 422), ("run=a&run=b&step=1", 422),
     ("run=a&run=b&modules=block.0.linear", 422),
     ("&".join(f"run={n}" for n in range(9)), 422)],
)  # fmt: skip
def test_a_bad_question_is_refused(client, query, status):
    assert client.get(f"/api/v1/compare?{query}").status_code == status


def test_the_page_heeds_what_it_can_and_says_beside_the_control_what_it_can_not(client):
    page = client.get("/compare?run=a&run=b&step=abc&module=z&fun=1")
    assert page.status_code == 422
    assert (
        'name="step" size="6" value="abc" aria-describedby="step-error" aria-invalid="true"'
        in page.text
    )
    message = re.search(r'id="step-error">(.*?)</span>', page.text)[1]
    assert "expected a whole number" in message
    assert "expected a module" in re.search(r'id="module-error">(.*?)</span>', page.text)[1]
    assert "fun: unknown parameter" in page.text
    assert len(rows(page.text, "Figures")) == 2
    many = client.get(f"/compare?{'&'.join(f'run={n}' for n in range(9))}")
    assert many.status_code == 422
    assert "run: expected at most 8 runs" in many.text
    missing = client.get("/compare?run=a&run=none")
    assert (missing.status_code, "Nothing to show" in missing.text) == (404, True)
    told = client.get("/compare?run=a&run=b&step=abc", headers=HTMX)
    assert (told.status_code, told.json()["errors"][0]["field"]) == (422, "step")


def test_the_page_has_every_figure_without_scripts_and_no_hostile_text(client):
    page = client.get("/compare?run=a&run=b&module=block.0.linear").text
    assert "<script>alert" not in page
    assert HOSTILE in unescape(page)
    drawing = json.loads(unescape(re.search(r'id="drawing">(.*?)</script>', page, re.S)[1]))
    api = client.get("/api/v1/compare?run=a&run=b&module=block.0.linear").json()
    for drawn, each in zip(drawing["runs"], api["runs"], strict=True):
        assert (drawn["loss"], drawn["values"]) == (each["loss"], each["values"])
    assert re.search(r'value="a" checked', page)
    assert [len(row) for row in rows(page, "Figures")] == [8, 8]
    assert shown(page)["data-twin"] == "/api/v1/compare?run=a&run=b&module=block.0.linear"


def test_at_a_step_each_has_its_nearest_recorded_one_however_few_are_drawn(client):
    stds = [[float(n)] for n in range(1, 101)]
    recorded_run(client.app.state.store, "long", {}, stds)
    page = client.get("/compare?run=a&run=long&points=10&step=57").text
    (*_, step, loss, std, _), (*_, own, own_loss, own_std, _) = rows(page, "Figures")
    assert (step, loss, std) == ("3", number(1 / 3), "1.00")
    assert (own, own_loss, own_std) == ("57", number(1 / 57), "57.0")
    assert "step" not in shown(page)["data-twin"]


def test_who_asks_again_is_told_nothing_as_long_as_nothing_is_new(client):
    store = client.app.state.store
    store.append("live", Batch(1, [Start("live", {}, 0.0), StepEntry(1, 0.0, 1.0, b"")]))
    whole = client.get("/compare?run=a&run=live&step=1")
    again = shown(whole.text)["hx-get"]
    assert client.get(again, headers=HTMX).status_code == 204
    store.append("live", Batch(3, [StepEntry(2, 0.0, 0.5, b"")]))
    part = client.get(again, headers=HTMX)
    assert part.status_code == 200
    assert shown(part.text)["hx-get"] != again
    assert rows(part.text, "Figures")[1][3:5] == ["2", "0.500"]
    again = shown(part.text)["hx-get"]
    assert client.get(again, headers=HTMX).status_code == 204
    store.rename("live", "its new name")
    renamed = client.get(again, headers=HTMX)
    assert (renamed.status_code, "its new name" in renamed.text) == (200, True)
    for answer, kept in ((whole, "private, no-cache"), (part, "no-store")):
        assert answer.headers["cache-control"] == kept
        assert "HX-Request" in answer.headers["vary"]


def test_a_run_is_decoded_once_for_all_that_is_told_of_it(client, monkeypatch):
    read = []
    decode = Glance.from_bytes.__func__
    monkeypatch.setattr(
        series.Glance,
        "from_bytes",
        classmethod(lambda kind, data: read.append(1) or decode(kind, data)),
    )
    client.get("/api/v1/compare?run=a&run=b")
    assert len(read) == 5


def test_runs_are_chosen_from_the_list_and_from_an_empty_page(client):
    assert 'name="run" value="a" form="compare-form"' in client.get("/runs").text
    page = client.get("/compare").text
    assert "Choose two to 8 runs" in page
    assert page.count('type="checkbox" name="run"') == 2
