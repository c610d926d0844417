"""The init schemes over HTTP: page, panels one by one, JSON twin, refusals."""

from __future__ import annotations

import html
import re
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscope.app.figures.schemes import HEIGHT, LEFT, WIDTH, panel
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.foundations.schemes import SchemeResult, schemes
from layerscope.engine.layers.initialization import INITS
from tests import working

API = "/api/v1/foundations/schemes"
PAGE = "/foundations/schemes"
SMALL = {"depth": "6", "width": "20", "batch": "30"}


@pytest.fixture(scope="module")
def client(server: Any) -> httpx.Client:
    return server.client  # type: ignore[no-any-return]


def events(text: str) -> list[tuple[str, str]]:
    found = []
    for block in text.split("\n\n"):
        lines = block.splitlines()
        name = next((x[7:] for x in lines if x.startswith("event: ")), "")
        data = "\n".join(x[6:] for x in lines if x.startswith("data: "))
        if name:
            found.append((name, data))
    return found


def test_the_cold_page_has_every_panel_and_says_who_holds(client: httpx.Client) -> None:
    page = client.get(PAGE)
    assert page.status_code == 200
    text = html.unescape(page.text)
    assert re.findall(r'id="scheme-(\w+)"', text) == list(INITS)
    for scheme in INITS.values():
        assert scheme.formula in text
        assert scheme.source in text
        assert scheme.assumes in text
    assert re.search(r'id="holding-static">\d+ of 15 hold the signal: kaiming_normal, ', text)
    assert "\0" not in text


def test_the_twin_is_the_engine_s(client: httpx.Client) -> None:
    answer = client.get(API, params=SMALL).json()
    expected = [e.to_dict() for e in schemes(Experiment(depth=6, width=20, batch=30))]
    assert answer["schemes"] == orjson.loads(orjson.dumps(expected[1:-1]))
    assert answer["holding"] == list(expected[-1]["holding"])
    assert answer["experiment"]["depth"] == 6


def test_the_api_streams_scheme_by_scheme(client: httpx.Client) -> None:
    answer = client.get(f"{API}/stream", params=SMALL)
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = events(answer.text)
    assert [name for name, _ in found] == ["start", *["scheme"] * len(INITS), "end"]
    names = [orjson.loads(data)["name"] for name, data in found if name == "scheme"]
    assert names == list(INITS)


def test_the_page_s_stream_sends_the_page_s_own_panels(client: httpx.Client) -> None:
    page = client.get(PAGE, params=SMALL).text
    found = events(client.get(f"{PAGE}/stream", params=SMALL).text)
    panels = [data for name, data in found if name == "scheme"]
    assert len(panels) == len(INITS)
    for drawn in panels:
        assert drawn in page
    assert [name for name, _ in found[-2:]] == ["holding", "end"]


def test_the_link_of_a_panel_is_the_same_experiment_in_the_lab(client: httpx.Client) -> None:
    page = html.unescape(client.get(PAGE, params={**SMALL, "init_scale": "0.5"}).text)
    link = re.search(r'id="scheme-lsuv">\s*<header><h2><a href="([^"]+)"', page)
    assert link
    assert link[1] == "/?init_scale=0.5&depth=6&width=20&init=lsuv&batch=30"


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [Experiment(), Experiment(depth=1, width=1, batch=1)])
def test_everything_drawn_lies_within_its_frame(experiment: Experiment) -> None:
    for event in schemes(experiment):
        if not isinstance(event, SchemeResult):
            continue
        drawn = panel(event, experiment.depth)
        for path in (drawn.curve, drawn.signal):
            for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path):
                assert LEFT <= float(x) <= WIDTH
                assert 0 <= float(y) <= HEIGHT
        for spike in drawn.spikes:
            assert LEFT <= spike.x <= WIDTH


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("init_scale", "lots", "expected a number, such as 0.5"),
        ("depth", "0", "expected a whole number from 1 to 200"),
        ("activation", "reLU", "expected one of: relu"),
        ("width", "-3", "expected a whole number from 1 to 1024"),
    ],
)
def test_a_refusal_stands_beside_its_control(
    client: httpx.Client, field: str, value: str, message: str
) -> None:
    page = client.get(PAGE, params={field: value})
    assert page.status_code == 422
    beside = re.search(rf'id="{field}-error">([^<]*)<', html.unescape(page.text))
    assert beside
    assert message in beside[1]
    for address in (API, f"{API}/stream", f"{PAGE}/stream"):
        problem = client.get(address, params={field: value})
        assert problem.status_code == 422
        (error,) = problem.json()["errors"]
        assert (error["field"], error["value"]) == (field, value)


def test_too_much_work_is_refused_everywhere_before_it_begins(client: httpx.Client) -> None:
    query = {"depth": "200", "width": "1024"}
    for address in (PAGE, API, f"{API}/stream", f"{PAGE}/stream"):
        refused = client.get(address, params=query)
        assert refused.status_code == 422
        assert "times the limit" in refused.text


@pytest.mark.parametrize("address", [PAGE, f"{PAGE}/stream"])
def test_a_closed_connection_stops_the_computation(
    server: Any, until: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    monkeypatch.setattr(
        "layerscope.app.pages.foundations.schemes._results",
        partial(working.endless_schemes, tmp_path),
    )
    monkeypatch.setattr(
        "layerscope.app.pages.foundations.schemes._written",
        partial(working.endless_panels, tmp_path),
    )
    with server.client.stream("GET", address, params=SMALL) as response:
        assert response.status_code == 200
        received = response.iter_bytes()  # kept: httpx closes what nobody holds
        next(received)
        assert server.compute.active == 1
    until(lambda: server.compute.active == 0)
    assert (tmp_path / "stopped").exists()


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(
    st.fixed_dictionaries(
        {"depth": st.sampled_from(["1", "2", "3", "0", "x"]),
         "width": st.sampled_from(["1", "2", "9", "1025", ""]),
         "batch": st.sampled_from(["1", "2", "17", "-1"]),
         "init_scale": st.sampled_from(["0", "1", "100", "1e-45", "101", "nan", "−1"])},
        optional={"dtype": st.sampled_from(["float16", "bfloat16", "int8"]),
                  "activation": st.sampled_from(["tanh", "gelu", ""]),
                  "seed": st.sampled_from(["1", "9007199254740991", "9007199254740992"]),
                  "init": st.just("zeros")},
    )
)  # fmt: skip
def test_only_results_and_refusals(server: Any, query: dict[str, str]) -> None:
    page = server.client.get(PAGE, params=query)
    twin = server.client.get(API, params=query)
    assert page.status_code == twin.status_code
    assert page.status_code in (200, 422)
