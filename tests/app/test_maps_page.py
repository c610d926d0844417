"""The page of maps: its address is the map, its form begins it, htmx gets the part that changed."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from layerscope.app import charting
from layerscope.app.pages.maps.query import MapQuery, query_of
from layerscope.engine.experiment import Experiment
from layerscope.engine.maps.axes import Axis
from layerscope.engine.maps.plane import Plane
from layerscope.engine.maps.presets import PRESETS
from layerscope.engine.training import Training
from tests.mapping import Here

FIELDS = {
    "x": "init_scale", "x_from": "0.5", "x_to": "2", "x_steps": "3", "x_scale": "log",
    "y": "depth", "y_values": "1, 2", "outcome": "loss", "width": "8", "batch": "8",
}  # fmt: skip
HTMX = {"HX-Request": "true"}


@pytest.fixture
def client(ask, tmp_path, monkeypatch):
    monkeypatch.setattr(charting, "Crew", Here)
    made = ask(data_dir=tmp_path)
    yield made
    made.app.state.charting.close()


@pytest.mark.parametrize(
    "plane",
    [
        *(each.plane for each in PRESETS),
        *(each.full for each in PRESETS if each.full),
        Plane(Axis.of("init_scale", [1.0, 1.0000000000000002, 1.0000000000000004]),
              Axis.of("bias_std", [0.1, 1e-9], "log")),
        Plane(Axis.of("depth", [3, 1, 20]), Axis.of("residual"), Experiment(width=3), "loss", 4),
        Plane(Axis.of("init_scale", [0.5]), Axis.of("dtype", ["float16"]), Experiment()),
        Plane(Axis.of("inputs", [8, 64]), Axis.of("seed", [0, 5]), Experiment(batch=7)),
        Plane(Axis.of("warm_up", [0, 5]), Axis.of("optimizer"), Experiment(), "trained_loss",
              training=Training(momentum=0.5)),
    ],
    ids=lambda plane: f"{plane.x.parameter}-{plane.y.parameter}",
)  # fmt: skip
def test_an_address_brings_its_map_back(plane):
    read = MapQuery.read(parse_qsl(query_of(plane), keep_blank_values=True))
    assert read.messages == {}
    assert read.plane == plane


def test_a_form_begins_the_map_and_leads_to_its_address(client, until):
    begun = client.post("/maps", data=FIELDS, follow_redirects=False)
    assert begun.status_code == 303
    address = begun.headers["location"]
    assert "x_steps=3" in address
    until(lambda: "finished" in client.get(address).text)
    page = client.get(address).text
    assert "6 of 6 experiments" in page
    assert page.count("<td") == 6
    assert '"state":"finished"' in page
    answer = client.get(address, headers=HTMX)
    assert answer.headers["cache-control"] == "no-store"  # Back shows the whole page
    assert "HX-Request" in answer.headers["vary"]
    part = answer.text
    assert part.lstrip().startswith("<div")
    assert 'id="maps"' in part


def test_what_was_not_computed_says_how_much_it_is(client):
    page = client.get("/maps", params=FIELDS)
    assert page.status_code == 200
    assert "6 experiments" in page.text
    assert '"state":null' in page.text
    assert "Init scale × depth" in client.get("/maps").text


@pytest.mark.parametrize(
    ("change", "place", "said"),
    [
        ({"x_from": "0"}, "x_from-error", "above 0"),
        ({"x_from": "-1"}, "x_from-error", "from 0 to 100"),
        ({"x_from": "many"}, "x_from-error", "expected a number"),
        ({"x_steps": "0"}, "x_steps-error", "from 1 to 200"),
        ({"y_values": "1,2,x"}, "y_values-error", "whole number"),
        ({"y": "init_scale", "y_values": "1,2"}, "y-error", "another parameter"),
        ({"depth": "0"}, "depth-error", "whole number"),
        ({"outcome": "beauty"}, "outcome-error", "expected one of"),
        ({"outcome": "accuracy"}, "outcome-error", "classes"),
        ({"x": "colour"}, "x-error", "expected one of"),
        ({"learning_rate": "-1"}, "learning_rate-error", "expected"),
    ],
)
def test_messages_stand_beside_their_controls(client, change, place, said):
    answer = client.post("/maps", data={**FIELDS, **change})
    assert answer.status_code == 422
    beside = answer.text.partition(f'id="{place}">')[2].partition("</p>")[0]
    assert said in beside


def test_what_no_control_can_say_is_said_below(client):
    answer = client.get("/maps", params={**FIELDS, "colour": "red"})
    assert answer.status_code == 422
    assert "colour: unknown parameter" in answer.text


def test_limits_are_told_and_the_form_is_kept(ask, tmp_path):
    answer = ask(data_dir=tmp_path, max_map_cells=5).post("/maps", data=FIELDS)
    assert answer.status_code == 422
    assert "this map needs 6 experiments" in answer.text
    assert 'value="1, 2"' in answer.text


def test_cancelling_leads_back_or_tells_how_far_it_came(client, monkeypatch, until):
    import threading

    gate = threading.Event()
    monkeypatch.setattr(Here, "gate", gate)
    monkeypatch.setattr(Here, "before", 2)
    address = client.post("/maps", data=FIELDS, follow_redirects=False).headers["location"]
    until(lambda: "2 of 6" in client.get(address).text)
    key = client.get("/api/v1/maps").json()["maps"][0]["id"]
    part = client.post(f"/maps/{key}/cancel", headers=HTMX)
    assert "cancelled" in part.text
    assert "<html" not in part.text
    back = client.post(f"/maps/{key}/cancel", follow_redirects=False)
    assert back.status_code == 303
    assert back.headers["location"].startswith("/maps?")
    stream = client.get(f"/maps/{key}/follow").text
    assert "event: cells" in stream
    assert "map-table" in stream
    assert client.get(f"/maps/{key}/follow?colour=1").status_code == 422


def test_the_lab_links_to_the_land_around_it(ask):
    page = ask().get("/?depth=4&width=8&batch=8&init_scale=3")
    assert "/maps?x_from=1.5&amp;x_to=6&amp;y_from=1&amp;y_to=8&amp;init_scale=3" in page.text
