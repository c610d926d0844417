"""Maps over HTTP: begun, followed, resumed, read, cancelled, exported; refused with the figure."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from layerscope.app import charting
from layerscope.app.charting import Charting
from layerscope.app.settings import Settings
from layerscope.engine.diagnosis.run import result
from layerscope.engine.experiment import Experiment
from layerscope.engine.maps.kept import Maps
from layerscope.engine.maps.plane import Plane
from layerscope.engine.store.errors import StoreError
from tests.mapping import Here

URL = "/api/v1/maps"
BODY = {
    "x": {"parameter": "init_scale", "from": 0.5, "to": 2, "steps": 4, "scale": "log"},
    "y": {"parameter": "depth", "values": [1, 2, 3]},
    "base": {"width": 8, "batch": 8}, "outcome": "loss",
}  # fmt: skip


@pytest.fixture
def begun(serve, tmp_path, monkeypatch):
    """A server whose maps are computed in its own threads."""
    monkeypatch.setattr(charting, "Crew", Here)
    with serve(data_dir=tmp_path, warm_up=False, max_maps=1) as running:
        yield running


@pytest.fixture
def gate(monkeypatch):
    """Maps wait before their fifth experiment, until it is opened."""
    made = threading.Event()
    monkeypatch.setattr(Here, "gate", made)
    monkeypatch.setattr(Here, "before", 5)
    yield made
    made.set()


def begin(server, **change):
    answer = server.client.post(URL, json={**BODY, **change})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"{URL}/{answer.json()['id']}"
    return answer.json()["id"]


def whole(server, key, until=None):
    def finished():
        return server.client.get(f"{URL}/{key}").json()["state"] != "running"

    if until:
        until(finished)
    return server.client.get(f"{URL}/{key}").json()


def events(text):
    found = []
    for block in text.split("\n\n"):
        lines = dict(
            line.partition(": ")[::2] for line in block.splitlines() if not line.startswith(":")
        )
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"]), lines.get("id")))
    return found


def test_the_first_map_needs_nothing_that_was_kept_before(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(charting, "Crew", Here)
    with serve(data_dir=tmp_path / "not" / "there", warm_up=False) as running:
        assert begin(running)


def test_every_cell_is_the_labs_number_and_the_map_is_one(begun, until):
    key = begin(begun)
    found = whole(begun, key, until)
    assert (found["state"], found["done"], found["total"]) == ("finished", 12, 12)
    assert found["x"] == [0.5, 0.793701, 1.25992, 2.0]
    assert found["y"] == [1, 2, 3]
    for row, depth in enumerate(found["y"]):
        for column, scale in enumerate(found["x"]):
            e = Experiment(width=8, batch=8, depth=depth, init_scale=scale)
            assert found["cells"][row][column] == result(e, check=False, fixes=False)["loss"]
    assert begin(begun) == key == Plane.from_json(found["specification"]).id
    assert begun.client.get(URL).json()["maps"][0]["id"] == key
    table = begun.client.get(f"{URL}/{key}/export").text.splitlines()
    assert table[0] == "init_scale,depth,loss,spread,text"
    assert table[1] == f"0.5,1,{found['cells'][0][0]!r},,"
    assert len(table) == 13


def test_seeds_give_mean_and_spread(begun, until):
    found = whole(begun, begin(begun, seeds=3), until)
    losses = [
        result(Experiment(width=8, batch=8, depth=1, init_scale=0.5, seed=s), check=False)["loss"]
        for s in range(3)
    ]
    assert found["cells"][0][0] == pytest.approx(sum(losses) / 3, rel=1e-14)
    assert found["spread"][0][0] > 0
    assert found["total"] == 36


def test_json_never_holds_a_nan(begun, until):
    base = {"width": 64, "batch": 8, "activation": "linear", "init": "normal", "init_scale": 50}
    y = {"parameter": "depth", "values": [1, 60]}
    x = {"parameter": "seed", "values": [0, 1]}
    found = whole(begun, begin(begun, x=x, y=y, base=base), until)
    assert None not in found["cells"][0]
    assert found["cells"][1] == [None, None]
    assert {(row, text) for row, _, text in found["texts"]} <= {(1, "nan"), (1, "inf")}
    assert found["done"] == 4


def test_a_stream_resumes_after_what_is_known(begun, gate, until):
    key = begin(begun)
    until(lambda: whole(begun, key)["done"] == 5)
    lines = begun.client.get(f"{URL}/{key}").json()
    assert sum(v is not None for row in lines["cells"] for v in row) == 5
    with begun.client.stream("GET", f"{URL}/{key}/stream") as stream:
        text = ""
        for piece in stream.iter_text():
            text += piece
            if "event: cells" in text and text.endswith("\n\n"):
                break
    first = events(text)
    assert first[0][0] == "map"
    assert first[0][1]["state"] == "running"
    last = first[-1][2]
    gate.set()
    rest = events(
        begun.client.get(f"{URL}/{key}/stream", headers={"Last-Event-ID": last}).text
    )  # fmt: skip
    assert [name for name, *_ in rest][-1] == "end"
    assert [data["state"] for name, data, _ in rest if name == "map"][-1] == "finished"
    cells = [
        tuple(cell[:2])
        for name, data, _ in [*first, *rest]
        if name == "cells"
        for cell in data["cells"]
    ]
    assert len(cells) == len(set(cells)) == 12
    again = events(begun.client.get(f"{URL}/{key}/stream?after={last}").text)
    assert sum(len(d["cells"]) for n, d, _ in again if n == "cells") == 12 - int(last)


def test_cancelling_keeps_what_is_known_and_goes_on_from_there(begun, gate, until):
    key = begin(begun)
    until(lambda: whole(begun, key)["done"] == 5)
    assert begun.client.delete(f"{URL}/{key}").status_code == 204
    assert begun.app.state.charting.active == 0
    found = whole(begun, key)
    assert (found["state"], found["done"]) == ("cancelled", 5)
    assert begun.client.delete(f"{URL}/{key}").status_code == 204
    gate.set()
    begin(begun)
    assert whole(begun, key, until)["done"] == 12


def test_another_process_cancels_it_too(begun, gate, until, tmp_path):
    key = begin(begun)
    until(lambda: whole(begun, key)["done"] == 5)
    other = Maps(tmp_path)
    other.end(key, "cancelled")
    other.close()
    until(lambda: begun.app.state.charting.active == 0)
    assert whole(begun, key)["state"] == "cancelled"


def test_one_too_many_is_told_to_come_back(begun, gate):
    begin(begun)
    refused = begun.client.post(URL, json={**BODY, "seeds": 2})
    assert refused.status_code == 503
    assert "1 maps are being computed" in refused.json()["detail"]
    assert refused.headers["retry-after"] == "10"


def test_a_server_that_was_stopped_resumes_where_it_was(monkeypatch, tmp_path, gate, until):
    monkeypatch.setattr(charting, "Crew", Here)
    settings = Settings(data_dir=tmp_path)
    first = Charting(settings)
    plane = Plane.from_json(BODY)
    first.start(plane)
    until(lambda: first.kept.map(plane.id).done == 5)
    second = Charting(settings)
    second.resume()  # somebody computes it
    assert second.active == 0
    first.close()
    assert first.kept.map(plane.id).state == "running"
    assert not list(tmp_path.glob("*.lock"))
    gate.set()
    second.resume()
    until(lambda: second.kept.map(plane.id).state == "finished")
    found = second.kept.map(plane.id)
    assert found.done == 12
    second.close()
    Charting(Settings(data_dir=tmp_path / "nothing")).resume()
    assert not (tmp_path / "nothing").exists()


def test_a_zoomed_map_computes_only_what_is_new(begun, until):
    whole(begun, begin(begun), until)
    key = begin(begun, y={"parameter": "depth", "values": [2, 3, 4]})
    whole(begun, key, until)
    found = begun.app.state.charting.kept.map(key)
    assert (found.done, found.computed) == (12, 4)


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"outcome": "beauty"}, "outcome", "expected one of"),
        ({"y": {"parameter": "depth", "from": 1, "to": 2000}}, "y.to", "to 1000"),
        ({"base": {"depth": "3"}}, "base.depth", "whole number"),
        ({"outcome": "accuracy"}, "outcome", "classes"),
        ({"colour": 1}, "colour", "unknown"),
        ({"x": {"parameter": "bias_std", "values": [0, 1], "scale": "log"}}, "x.values", "above 0"),
        ({"x": {"parameter": "width", "from": 1, "to": 10**400}}, "x.to", "to 4096"),
        ({"seeds": 10**400}, "seeds", "1 to 100"),
    ],
)
def test_what_is_wrong_is_named(ask, change, field, said):
    answer = ask().post(URL, json={**BODY, **change})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert said in error["message"]


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({"max_map_cells": 11}, "experiments"),
        ({"max_map_flops": 1e8}, "floating point operations"),
        ({"max_flops": 1e6}, "floating point operations"),
    ],
)
def test_limits_are_told_with_the_figure_that_is_over(ask, tmp_path, settings, limit):
    answer = ask(data_dir=tmp_path, **settings).post(URL, json=BODY)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "/docs#problem-over-limit"
    assert problem["limit"] == limit
    assert problem["asked"] > problem["allowed"]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("rest", ["", "/stream", "/export", "/theory"])
def test_maps_that_are_not_there(ask, rest):
    answer = ask().get(f"{URL}/{'0' * 32}{rest}")
    assert answer.status_code == 404
    assert answer.json()["type"] == "/docs#problem-no-such-map"
    assert ask().get(f"{URL}/nonsense{rest}").status_code == 422


def test_a_file_that_cannot_be_read_is_said(ask, monkeypatch):
    def broken(*_):
        raise StoreError("maps.db is damaged")

    monkeypatch.setattr(Maps, "newest", broken)
    answer = ask().get(URL)
    assert answer.status_code == 503
    assert "maps.db is damaged" in answer.json()["detail"]


@pytest.mark.slow
def test_theory_is_drawn_over_it(begun, until):
    base = {"activation": "tanh", "init": "lecun_normal", "width": 4, "batch": 4}
    key = begin(begun, base=base)
    answer = begun.client.get(f"{URL}/{key}/theory")
    assert "edge" in {line["name"] for line in answer.json()["lines"]}
    known = {"If-None-Match": answer.headers["etag"]}
    assert begun.client.get(f"{URL}/{key}/theory", headers=known).status_code == 304
    other = begin(begun, base={**base, "bias_std": 0.5})
    assert begun.client.head(f"{URL}/{other}/theory").headers["etag"] != known["If-None-Match"]


@pytest.mark.slow
def test_real_processes_compute_it_and_end_when_told(serve, tmp_path, until):
    with serve(data_dir=tmp_path, warm_up=False, map_jobs=2) as server:
        server.app.state.charting.get_ready()
        key = begin(server)
        assert whole(server, key, until)["done"] == 12
        long = begin(server, base={"width": 256, "batch": 256}, seeds=5)
        until(lambda: whole(server, long)["done"] > 0)
        crew = server.app.state.charting._running[long].crew
        pid = crew.pid
        assert server.client.delete(f"{URL}/{long}").status_code == 204
        assert crew.pid is None
        assert not Path(f"/proc/{pid}").exists()
