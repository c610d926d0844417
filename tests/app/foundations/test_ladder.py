"""The ladder over HTTP: every rung, its source, the mistake."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscope.engine.foundations.ladder import RUNGS, mistake, problem

API = "/api/v1/foundations/ladder"
PAGE = "/foundations/ladder"


@pytest.fixture(scope="module")
def client(server: Any) -> httpx.Client:
    return server.client  # type: ignore[no-any-return]


def test_the_page_shows_every_rung_with_its_very_source(client: httpx.Client) -> None:
    text = html.unescape(client.get(PAGE).text)
    assert "All seven rungs agree" in text
    assert re.findall(r'<details class="panel rung" id="rung-(\w+)"', text) == list(RUNGS)
    for rung in RUNGS.values():
        for source in rung.sources:
            assert source.code in text
            assert f"{source.file}:{source.line}" in text
    assert "cannot assign module before Module.__init__() call" in text


def test_the_twin_agrees_and_has_the_mistake(client: httpx.Client) -> None:
    query = {"batch": "30", "inputs": "9", "hidden": "4", "seed": "2"}
    found = client.get(API, params=query).json()
    assert found["agree"]
    assert [rung["name"] for rung in found["rungs"]] == list(RUNGS)
    assert all(rung["float64"]["largest"] < 1e-13 for rung in found["rungs"])
    assert all(rung["forward_seconds"] > 0 for rung in found["rungs"])
    expected = mistake(problem(30, 9, 4, 2))
    assert found["mistake"]["broadcast_shape"] == [30, 30]
    assert found["mistake"]["wrong_loss"] == expected.wrong_loss
    page = html.unescape(client.get(PAGE, params=query).text)
    assert f"{expected.wrong_loss:.5g}" in page
    assert f"{expected.right_loss:.5g}" in page
    assert "[30, 1]" in page
    assert "[30, 30]" in page


@pytest.mark.parametrize(
    ("field", "value"), [("batch", "513"), ("inputs", "0"), ("hidden", "x"), ("seed", "-1")]
)
def test_a_refusal_stands_beside_its_control(client: httpx.Client, field: str, value: str) -> None:
    page = client.get(PAGE, params={field: value})
    assert page.status_code == 422
    beside = re.search(rf'id="{field}-error">([^<]*)<', html.unescape(page.text))
    assert beside
    assert beside[1].startswith("expected a whole number from ")
    (error,) = client.get(API, params={field: value}).json()["errors"]
    assert (error["field"], error["value"]) == (field, value)


SIZES = st.sampled_from(["1", "2", "7", "30", "0", "-1", "513", "1.5", "", "x" * 300])


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(st.dictionaries(st.sampled_from(["batch", "inputs", "hidden", "seed", "bogus"]), SIZES))
def test_only_results_and_refusals(server: Any, query: dict[str, str]) -> None:
    page = server.client.get(PAGE, params=query)
    assert page.status_code in (200, 422)
    twin = server.client.get(API, params=query)
    assert twin.status_code == page.status_code
    if twin.status_code == 200:
        assert twin.json()["agree"]
