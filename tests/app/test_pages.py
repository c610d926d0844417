"""The Lab as HTML: complete without JavaScript, strict about its query, safe against it."""

from __future__ import annotations

import asyncio
import dataclasses
import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from jinja2 import Environment, nodes

from layerscope.app.compute import Compute
from layerscope.app.figures.evidence import Measured
from layerscope.app.figures.tensors import Drawn
from layerscope.app.forms import Control
from layerscope.app.pages.controls import experiment_controls
from layerscope.app.pages.lab.captions import ChartWords, Frame, TableRow
from layerscope.app.pages.lab.findings import FindingWords
from layerscope.app.pages.lab.fixes import FixLink
from layerscope.app.pages.lab.inspector import Inspected, Picture
from layerscope.app.pages.lab.look import Look
from layerscope.app.pages.lab.page import LabPage
from layerscope.app.pages.lab.stills import Still
from layerscope.app.pages.lab.verdict import VerdictWords
from layerscope.app.pages.runs.tensors import TensorsView
from layerscope.engine.experiment.presets import PRESETS
from layerscope.engine.experiment.specification import Experiment
from tests.lab_page import Elements, fetch

TOP = Path(__file__).resolve().parents[2]
TEMPLATES = TOP / "templates"


def attributes_of(name: str, template: str, seen: set[str] | None = None) -> set[str]:
    """Which attributes of the variable ``name`` a template and what it includes read."""
    seen = set() if seen is None else seen
    if template in seen:
        return set()
    seen.add(template)
    tree = Environment(autoescape=True).parse((TEMPLATES / template).read_text())
    found = {
        node.attr
        for node in tree.find_all(nodes.Getattr)
        if isinstance(node.node, nodes.Name) and node.node.name == name
    }
    for include in tree.find_all((nodes.Include, nodes.Extends, nodes.FromImport, nodes.Import)):
        inner = include.template  # type: ignore[attr-defined]
        if isinstance(inner, nodes.Const):
            found |= attributes_of(name, inner.value, seen)
    return found


@pytest.mark.parametrize(
    ("variable", "template", "context", "unread"),
    [
        ("page", "pages/lab.html", LabPage, set()),
        (
            "verdict",
            "pages/lab.html",
            VerdictWords,
            {"decided", "faulty", "searched", "settled", "waiting"},
        ),
        ("frame", "pages/lab.html", Frame, set()),
        ("words", "macros/chart.html", ChartWords, set()),
        ("still", "partials/lab/stills.html", Still, set()),
        ("inspected", "partials/lab/inspector.html", Inspected, set()),
        ("picture", "partials/lab/inspector.html", Picture, set()),
        ("drawn", "macros/tensors.html", Drawn, set()),
        ("view", "partials/runs/tensors.html", TensorsView, set()),
        ("c", "macros/controls.html", Control, {"rare"}),
        ("finding", "macros/findings.html", FindingWords, set()),
        ("figure", "macros/findings.html", Measured, set()),
        ("fix", "macros/findings.html", FixLink, set()),
        ("row", "partials/lab/rows.html", TableRow, set()),
    ],
)
def test_a_template_reads_exactly_what_it_is_given(
    variable: str, template: str, context: type, unread: set[str]
) -> None:
    given = {f.name for f in dataclasses.fields(context)}
    given |= {n for n, v in vars(context).items() if isinstance(v, property)}
    assert attributes_of(variable, template) == given - unread


def test_the_page_is_complete_without_javascript(server: Any) -> None:
    answer = fetch(server, "init=normal&activation=linear")
    assert answer.status_code == 200
    text = answer.text
    rows = re.findall(r'class="row row-(\w+)">.*?<ol>(.*?)</ol>', text, re.DOTALL)
    assert [name for name, _ in rows] == ["activations", "gradients"]
    cells = [re.findall(r'class="cell ([\w -]+)"', row) for _, row in rows]
    assert [len(row) for row in cells] == [51, 51]
    assert cells[0][37:39] == ["s-inf", "s-nan"]
    assert "overflow float32 at layer 38; NaN from 39 on" in text
    assert text.count('<tr id="layer-') == 51
    assert "\0" not in text


@pytest.mark.parametrize("more", ["", "&activation=elu&alpha=3.25"])
def test_the_embedded_drawing_has_the_numbers_of_the_api(server: Any, more: str) -> None:
    query = f"depth=3&width=5&norm=layer{more}"
    text = fetch(server, query).text
    embedded = re.search(r'id="drawing">(.*?)</script>', text, re.DOTALL)
    assert embedded
    found = httpx.Response(200, content=html.unescape(embedded[1])).json()
    api = server.client.get(f"/api/v1/experiment?{query}").json()
    assert found["start"]["experiment"] == api["experiment"]
    assert found["start"]["blocks"] == [[0, 1, 2, 2], [3, 4, 5, 5], [6, 7, 8, 8], [9] * 4]
    assert found["verdict"] == api["verdict"]["title"]
    for layer, there, back in zip(api["layers"], found["forward"], found["backward"], strict=True):
        assert there[0] == back[0] == layer["index"]
        for s, tensor in ((layer["activation"], there[1]), (layer["gradient"], back[1])):
            _, spread, lost, zeros, count, exponent, counts = tensor
            assert (spread, zeros, count) == (s["std"], s["zeros"], s["count"])
            assert lost == 0
            h = s["histogram"]
            assert exponent == h["exponents"][0]
            assert counts == [p + n for p, n in zip(h["positive"], h["negative"], strict=True)]
        assert there[2] == layer["activation"]["mean"]
    assert server.client.get(f"/lab/drawing?{query}").json() == found


def test_nothing_inline_that_the_policy_would_block(server: Any) -> None:
    answer = fetch(server)
    nonce = re.search(r"'nonce-([\w-]+)'", answer.headers["content-security-policy"])
    assert nonce
    for tag, attributes in Elements(answer.text).tags:
        assert not any(name.startswith("on") for name in attributes)
        assert "style" not in attributes
        if tag == "script":
            assert "src" in attributes or attributes["type"] == "application/json"
        if tag == "style":
            assert attributes["id"] == "plotly.js-style-global"
            assert attributes["nonce"] == nonce[1]
        for link in ("src", "href"):
            assert not (attributes.get(link) or "").startswith(("http", "//"))


def test_every_parameter_has_a_labelled_control_with_its_message(server: Any) -> None:
    tags = Elements(fetch(server).text).tags
    labels = {a["for"] for tag, a in tags if tag == "label"}
    ids = {a["id"] for _, a in tags if "id" in a}
    for name in Experiment.model_fields:
        (control,) = (a for tag, a in tags if tag in ("input", "select") and a.get("name") == name)
        assert control["id"] in labels
        assert set((control["aria-describedby"] or "").split()) <= ids


@pytest.mark.parametrize(
    ("query", "field", "typed", "message"),
    [
        ("depth=5000", "depth", "5000", "expected a whole number from 1 to 1000"),
        ("init_scale=one", "init_scale", "one", "expected a number from 0 to 100"),
        ("init_scale=", "init_scale", "", "expected a number from 0 to 100"),
        ("seed=-1", "seed", "-1", "expected a whole number"),
        ("init=best", "init", "best", "expected one of"),
        ("data=digits&inputs=10", "inputs", "10", "expected 64 or nothing"),
        ("depth=3&depth=4", "depth", "4", "given more than once"),
    ],
)
def test_a_refused_value_stays_with_its_message(
    server: Any, query: str, field: str, typed: str, message: str
) -> None:
    answer = fetch(server, query)
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")
    beside = re.search(rf'id="{field}-error">(.*?)</p>', answer.text)
    assert beside
    assert message in html.unescape(beside[1])
    assert f'value="{typed}"' in answer.text
    assert "Nothing was run" in answer.text


@pytest.mark.parametrize(
    "query", ["colour=red", "depth=1000&width=4096&batch=65536", "&".join(["a=1"] * 200)]
)
def test_what_no_control_is_to_blame_for_stands_below_the_form(server: Any, query: str) -> None:
    answer = fetch(server, query)
    assert answer.status_code == 422
    general = re.search(r'id="general-error" role="alert">(.*?)</p>', answer.text)
    assert general
    assert general[1]


def test_what_was_typed_is_never_markup(server: Any) -> None:
    evil = '"><script>alert(1)</script>'
    for name in ("depth", "init", "nonsense", evil):
        answer = server.client.get("/", params={name: evil})
        assert answer.status_code == 422
        assert "<script>alert" not in answer.text


def test_odd_bytes_in_a_query_are_refused_not_an_error(server: Any) -> None:
    for query in ("depth=%00", "depth=%ff%fe", "init=%ed%a0%80", "=&=&", "%", "depth=1%3B2"):
        assert fetch(server, query).status_code in (200, 422)


@pytest.mark.slow
def test_presets_are_ordinary_links_with_sketches(server: Any) -> None:
    text = fetch(server).text
    links = re.findall(r'<li><a href="([^"]+)" title.*?<path d="(M[^"]+)"', text, re.DOTALL)
    assert len(links) == len(PRESETS)
    assert text.count('aria-current="true"') == 1
    for href, _ in links:
        assert server.client.get(html.unescape(href)).status_code == 200


def test_the_header_shows_the_pages_that_exist(server: Any) -> None:
    text = fetch(server).text
    nav = re.search(r'aria-label="Pages">(.*?)</nav>', text, re.DOTALL)
    assert nav
    links = re.findall(r'href="([^"]+)"', nav[1])
    assert links[0] == "/"
    assert links[-1] == "/docs"
    for link in links:
        assert server.client.get(link).status_code == 200
    assert {page.section for page in server.app.state.navigation} == set(
        re.findall(r">([^<>\n]+)</a>", nav[1])
    )


def test_a_head_request_computes_nothing(server: Any, works: list[Any]) -> None:
    answer = server.client.head("/")
    assert answer.status_code == 200
    assert answer.content == b""
    assert works == []


@pytest.mark.slow
def test_cells_arrive_while_later_layers_are_computed(server: Any) -> None:
    counts = []
    with server.client.stream("GET", "/?depth=300&width=512&batch=256") as answer:
        text = ""
        for piece in answer.iter_text():
            text += piece
            counts.append(text.count('<li class="cell'))
    assert any(0 < c < 300 for c in counts)
    assert counts[-1] == 602


def test_a_closed_page_stops_its_computation(server: Any, until: Callable[..., None]) -> None:
    with server.client.stream("GET", "/?depth=1000&width=256&batch=512") as answer:
        received = answer.iter_text()  # kept: httpx closes what nobody holds
        next(received)
        assert server.compute.active == 1
    until(lambda: server.compute.active == 0)


def test_a_busy_server_says_so_on_the_page(serve: Callable[..., Any]) -> None:
    with (
        serve(max_concurrent=1, max_waiting=0) as server,
        server.client.stream("GET", "/?depth=1000&width=256&batch=512") as first,
    ):
        received = first.iter_text()  # kept: httpx closes what nobody holds
        next(received)
        answer = server.client.get("/?depth=100&width=256&batch=512")
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "1 computations are running" in answer.text
        assert 'id="experiment"' in answer.text


@pytest.mark.slow
def test_a_layer_that_gets_no_place_does_not_hold_up_the_page(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Compute.run

    async def crowded(self: Compute, work: Any, *others: Any, **named: Any) -> Any:
        if isinstance(getattr(getattr(work, "func", None), "__self__", None), Look):
            await asyncio.Event().wait()
        return await run(self, work, *others, **named)

    monkeypatch.setattr(Compute, "run", crowded)
    with serve(warm_up=False) as server:
        text = fetch(server, "init=normal&activation=linear").text
    assert 'data-worth="38"' in text
    assert "Choose a layer" in text
    assert text.rstrip().endswith("</html>")


@pytest.mark.slow
def test_the_same_experiment_elsewhere(server: Any) -> None:
    tags = Elements(fetch(server, "init_scale=1.3").text).tags
    links = [a["href"] for _, a in tags if "data-lens" in a]
    registered = {page.path for page in server.app.state.navigation}
    assert {str(link).split("?")[0] for link in links} == registered & {
        "/why/phase", "/why/spectrum", "/why/precision", "/train", "/maps",
    }  # fmt: skip
    assert all(str(link).endswith("init_scale=1.3") for link in links)


def test_a_control_is_drawn_from_its_field_alone() -> None:
    by_name = experiment_controls({}, {})
    assert list(by_name) == list(Experiment.model_fields)
    depth = by_name["depth"]
    assert (depth.kind, depth.label, depth.unit, depth.low, depth.high) == (
        "range", "Depth", "blocks", "1", "1000",
    )  # fmt: skip
    assert by_name["init_scale"].formula == "w = 1 · √(2/100) · randn(100, 100)"
    assert by_name["inputs"].value == ""
    assert by_name["init"].chosen.source == "He et al. 2015, Delving deep into rectifiers"


def test_the_dark_colours_are_the_same_by_preference_and_by_choice() -> None:
    css = (TOP / "static" / "css" / "tokens.css").read_text()
    blocks = re.findall(
        r':root(?::not\(\[data-theme="light"\]\)|\[data-theme="dark"\]) {(.*?)}', css, re.DOTALL
    )
    first, second = (re.findall(r"--[\w-]+: [^;]+", block) for block in blocks)
    assert first == second
    light = re.search(r":root {(.*?)\n}", css, re.DOTALL)
    assert light
    assert {t.split(":")[0] for t in first} <= set(re.findall(r"--[\w-]+", light[1]))
