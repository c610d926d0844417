"""The pages under /why and their JSON: complete without JavaScript, strict, one computation."""

from __future__ import annotations

import dataclasses
import html
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, nodes

from layerscope.app.pages.why import diagnosis, figures, phase, precision, spectrum
from layerscope.app.pages.why.frame import WhyPage
from layerscope.app.why import rules_table
from layerscope.engine.analyses import ANALYSES
from layerscope.engine.analyses.precision import FORMATS
from layerscope.engine.analyses.precision import precision as precision_report
from layerscope.engine.analyses.spectrum import jacobian_spectra
from layerscope.engine.diagnosis import RULES
from layerscope.engine.experiment.specification import Experiment

TEMPLATES = Path(__file__).resolve().parents[3] / "templates" / "pages" / "why"
PAGES = ("phase", "spectrum", "precision")
SMALL = "depth=4&width=12&batch=16"


def attributes_of(name: str, *templates: str) -> set[str]:
    """Which attributes of the variable ``name`` these templates read."""
    found = set()
    for template in templates:
        tree = Environment(autoescape=True).parse((TEMPLATES / template).read_text())
        found |= {
            node.attr
            for node in tree.find_all(nodes.Getattr)
            if isinstance(node.node, nodes.Name) and node.node.name == name
        }
    return found


def given(context: type) -> set[str]:
    """Fields and properties of a dataclass."""
    properties = {n for n, v in vars(context).items() if isinstance(v, property)}
    return {f.name for f in dataclasses.fields(context)} | properties


@pytest.mark.parametrize(
    ("variable", "context", "templates"),
    [
        ("p", phase.PhaseView, ("phase.html",)),
        ("p", spectrum.SpectrumView, ("spectrum.html",)),
        ("p", figures.FiguresView, ("figures.html",)),
        ("figure", figures.Figure, ("figures.html",)),
        ("p", precision.PrecisionView, ("precision.html",)),
        ("r", spectrum.SpectrumRow, ("spectrum.html",)),
        ("f", precision.FormatRow, ("precision.html",)),
        ("c", precision.Cell, ("precision.html",)),
        ("page", diagnosis.DiagnosisPage, ("diagnosis.html",)),
        ("t", diagnosis.Trainings, ("diagnosis.html",)),
        ("tried", diagnosis.Trials, ("diagnosis.html",)),
    ],
)
def test_a_template_reads_exactly_what_it_is_given(
    variable: str, context: type, templates: tuple[str, ...]
) -> None:
    assert attributes_of(variable, *templates) == given(context)


def test_the_frame_reads_what_it_is_given() -> None:
    read = attributes_of("page", "layout.html", *(f"{name}.html" for name in PAGES))
    assert read <= given(WhyPage)
    assert given(WhyPage) == read


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_page_and_twin_answer_the_same_experiment(server: Any, name: str) -> None:
    query = f"{SMALL}&activation=tanh&init=lecun_normal&init_scale=1.2"
    page = server.client.get(f"/why/{name}?{query}")
    assert page.status_code == 200
    assert '<h2 id="verdict-title"' in page.text
    twin = re.search(r'href="([^"]+)" data-twin', page.text)
    back = re.search(r'href="([^"]+)" data-lab', page.text)
    assert twin
    assert back
    answer = server.client.get(html.unescape(twin[1]))
    assert answer.status_code == 200
    assert answer.json()["experiment"]["init_scale"] == 1.2
    assert server.client.head(html.unescape(back[1])).status_code == 200
    again = server.client.get(
        html.unescape(twin[1]), headers={"If-None-Match": answer.headers["etag"]}
    )
    assert again.status_code == 304


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("depth=5000", "depth", "expected a whole number from 1 to 1000"),
        ("init=best", "init", "expected one of"),
        ("colour=red", "general", "colour: unknown parameter"),
        ("depth=3&depth=4", "depth", "given more than once"),
    ],
)
def test_what_is_refused_stands_beside_its_control(
    server: Any, name: str, query: str, field: str, message: str
) -> None:
    page = server.client.get(f"/why/{name}?{query}")
    assert page.status_code == 422
    beside = re.search(rf'id="{field}-error"[^>]*>([^<]*)<', page.text)
    assert beside
    assert message in html.unescape(beside[1])
    twin = server.client.get(f"/api/v1/why/{name}?{query}")
    assert twin.status_code == 422
    assert twin.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["spectrum", "precision"])
def test_what_costs_too_much_is_refused_before_it_is_run(server: Any, name: str) -> None:
    page = server.client.get(f"/why/{name}?depth=1000&width=4096")
    assert page.status_code == 422
    assert "times the limit" in page.text
    twin = server.client.get(f"/api/v1/why/{name}?depth=1000&width=4096").json()
    assert twin["type"] == "/docs#problem-over-limit"


def test_batch_norm_has_no_spectrum_and_the_norm_control_says_so(server: Any) -> None:
    page = server.client.get(f"/why/spectrum?norm=batch&{SMALL}")
    assert page.status_code == 422
    beside = re.search(r'id="norm-error"[^>]*>([^<]*)<', page.text)
    assert beside
    assert "no sample has a Jacobian of its own" in beside[1]
    twin = server.client.get(f"/api/v1/why/spectrum?norm=batch&{SMALL}").json()
    assert [e["field"] for e in twin["errors"]] == ["norm"]


@pytest.mark.parametrize("name", [*PAGES, "diagnosis"])
def test_head_and_policy(server: Any, name: str) -> None:
    assert server.client.head(f"/why/{name}").status_code == 200
    assert server.client.head(f"/api/v1/why/{name}").status_code == 200
    text = server.client.get(
        f"/why/{name}?{SMALL}" if name != "diagnosis" else "/why/diagnosis"
    ).text
    assert not re.search(r"\sstyle=|\son\w+=", text)
    for script in re.findall(r"<script[^>]*>", text):
        assert "src=" in script or 'type="application/json"' in script


def test_the_spectrum_of_the_api_is_the_engines(server: Any) -> None:
    answer = server.client.get(f"/api/v1/why/spectrum?{SMALL}&activation=linear").json()
    own = jacobian_spectra(Experiment(depth=4, width=12, batch=16, activation="linear")).to_dict()
    assert answer["depths"] == own["depths"]
    for name in ("gaussian", "orthogonal"):
        theirs = answer["schemes"][name]["spectra"][-1]["log10_values"]
        assert theirs == pytest.approx(
            own["schemes"][name]["spectra"][-1]["log10_values"], abs=1e-6
        )


def test_the_precision_page_shows_the_shares_of_the_report(server: Any) -> None:
    query = f"{SMALL}&init_scale=0.01"
    found = precision_report(Experiment(depth=4, width=12, batch=16, init_scale=0.01), dtypes=[])
    text = server.client.get(f"/why/precision?{query}").text
    share = found.total("gradient", "float8_e4m3fn").to_dict()["underflow"]
    assert isinstance(share, float)
    assert share > 0.5
    row = re.search(r"float8_e4m3fn</span>.*?</tr>", text, re.DOTALL)
    assert row
    assert re.search(r"(\d+\.?\d*) % under", row[0])
    width = re.findall(r'<rect class="under"[^>]* width="([\d.]+)"', row[0])[1]
    assert float(width) == pytest.approx(100 * share, abs=0.01)
    for name in FORMATS:
        assert name in text


def test_an_overflow_is_told_with_its_layer(server: Any) -> None:
    text = server.client.get("/why/precision?init=normal&activation=linear&batch=20").text
    assert re.search(r"not finite from linear3[789]", text)
    assert "no one scale" in text


def test_the_phase_page_draws_the_edge_and_the_point(server: Any) -> None:
    tanh = server.client.get("/why/phase?activation=tanh&init=lecun_normal&bias_std=0.2236").text
    assert re.search(r'class="edge" d="M[\d.]', tanh)
    assert 'aria-valuenow="1.0"' in tanh
    relu = server.client.get("/why/phase").text
    assert "edge corner" in relu
    assert "On the edge" in relu
    nowhere = server.client.get("/why/phase?init=identity").text
    assert 'id="handle"' not in nowhere
    assert "No place in this plane" in nowhere


def test_every_rule_stands_with_its_condition(server: Any) -> None:
    text = html.unescape(server.client.get("/why/diagnosis").text)
    answer = server.client.get("/api/v1/why/diagnosis").json()
    assert [r["name"] for r in answer["rules"]] == list(RULES)
    for rule in RULES.values():
        assert f'id="rule-{rule.name}"' in text
        assert rule.formula in text


def test_the_evaluation_becomes_bars_and_links(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {
        "healthy": 50, "faulty": 40, "undecided": 3, "recall": 0.975, "false_alarm_rate": 0.02,
        "rules": [{"rule": "nonfinite", "hits": 10, "sole": 4, "false_alarms": 1, "warnings": 2}],
        "missed": [{"experiment": {"depth": 3}}],
        "false_alarms": [{"experiment": {"init": "normal"}, "rules": ["nonfinite"]}],
    }  # fmt: skip
    monkeypatch.setattr(diagnosis, "evaluation", lambda: table)
    page = diagnosis._page()
    assert page.totals is not None
    assert [each[1:] for each in page.totals.figures] == [("97.5 %", "of 40"), ("2.00 %", "of 50")]
    assert (page.scores[0].hit_bar, page.scores[0].alarm_bar) == (25.0, 2.0)
    assert page.missed[0].query == "depth=3"
    assert page.alarms[0].words == "init normal (nonfinite)"
    assert page.trials is None
    counted = {"cases": 20, "errors_before": 8, "errors": 1, "share": 0.05}
    kinds = dict.fromkeys(("faulty", "healthy", "adam_only"), counted)
    empty = {"cases": 0, "errors_before": 0, "errors": 0, "share": None}
    none = dict.fromkeys(kinds, empty)
    table["after_trials"] = {
        "tried": 30, "lowered": [4, 7], "raised": [5], "all": kinds, "choosing": none,
        "held_out": kinds, "kinds": {"drawn freely": kinds},
        "missed": [{"depth": 5}], "accused": [{"init": "normal"}, {"depth": 7}],
    }  # fmt: skip
    page = diagnosis._page()
    assert page.totals is not None
    assert [each[1:] for each in page.totals.figures] == [("5.00 %", "of 20")] * 3
    trials = page.trials
    assert trials is not None
    assert (trials.tried, trials.lowered, trials.raised, len(trials.rows)) == (30, 2, 1, 3)
    assert [w.query for w in page.missed] == ["depth=5"]
    assert [w.words for w in page.alarms] == ["init normal (nonfinite)", "depth 7"]
    row = trials.rows[0]
    assert row.held_out == diagnosis.Accused(20, "40.0 %", "5.00 %")
    assert row.choosing.cases == 0
    assert [(k.name, k.groups) for k in trials.kinds] == [("drawn freely", ["1 of 20"] * 3)]
    monkeypatch.setattr(diagnosis, "evaluation", lambda: None)
    assert diagnosis._page().measured is False
    json.dumps(rules_table(), allow_nan=False)


@pytest.mark.slow
def test_an_analysis_without_a_page_of_its_own_is_shown_by_its_figures(
    serve: Any, altered: Any
) -> None:
    with ANALYSES.temporarily():
        sys.modules.pop("tests.depth_alone", None)
        importlib.import_module("tests.depth_alone")
        with serve(altered) as server:
            text = server.client.get(f"/why/depth_alone?{SMALL}").text
            assert (
                '<a href="/why/depth_alone" data-of-experiment aria-current="page">Depth alone</a>'
                in text
            )
            found = re.findall(r"<code>(\w+)</code></th><td class=\"num\">([^<]*)<", text)
            assert found == [("depth", "4"), ("shares", "0.500, 0.250")]
            twin = server.client.get(f"/api/v1/why/depth_alone?{SMALL}").json()
            assert twin == {"depth": 4, "shares": [0.5, 0.25]}
            paths = server.client.get("/api/v1/openapi.json").json()["paths"]
            assert paths["/api/v1/why/depth_alone"]["get"]["summary"] == "Depth alone"
