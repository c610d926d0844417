"""Entries added in one class or function, on every page, route and stream and in the program."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.interpreter import Interpreter
from tests.registering import CHANGES, CHOICES, SMALL, additions, named, params
from tests.serving import RunningServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def added() -> Iterator[None]:
    with additions():
        yield


@pytest.fixture(scope="module")
def fresh(serve: Any, altered: Any) -> Iterator[RunningServer]:
    with serve(altered) as running:
        yield running


@pytest.mark.parametrize("change", CHANGES, ids=named)
def test_the_experiments_routes(fresh: RunningServer, change: dict[str, Any]) -> None:
    query = params(change)
    page = fresh.client.get("/", params=query)
    assert page.status_code == 200
    for value in CHOICES.values():
        assert f'value="{value}"' in page.text
    result = fresh.client.get("/api/v1/experiment", params=query)
    assert result.status_code == 200, result.text
    assert "always" in {f["rule"] for f in result.json()["findings"]}
    body = {**SMALL, **change}
    assert fresh.client.post("/api/v1/experiment", json=body).status_code == 200
    stream = fresh.client.get("/api/v1/experiment/stream", params=query)
    assert stream.status_code == 200
    assert "event: end" in stream.text
    assert "event: error" not in stream.text
    layers = result.json()["layers"]
    assert all("role" in layer for layer in layers)
    for index in (0, len(layers) - 1):
        one = fresh.client.get("/api/v1/experiment/layer", params={**query, "layer": str(index)})
        assert one.status_code == 200


@pytest.mark.parametrize("change", CHANGES, ids=named)
def test_every_route_that_takes_an_experiment(fresh: RunningServer, change: dict[str, Any]) -> None:
    documented = fresh.client.get("/api/v1/openapi.json").json()["paths"]
    asked = 0
    for path, methods in documented.items():
        names = {p["name"]: p for p in methods.get("get", {}).get("parameters", [])}
        if "init_scale" not in names or "{" in path:
            continue
        query = {k: v for k, v in params(change).items() if k in names}
        query |= {n: "0" for n, p in names.items() if p.get("required") and n == "layer"}
        query |= {n: "weight" for n, p in names.items() if p.get("required") and n == "tensor"}
        answer = fresh.client.get(path, params=query)
        assert answer.status_code in (200, 422), (path, answer.text)
        assert answer.status_code == 200 or "expected" in answer.text, (path, answer.text)
        asked += 1
    assert asked >= 6
    for page in ("/why/phase", "/why/spectrum", "/why/precision"):
        answer = fresh.client.get(page, params=params(change))
        assert answer.status_code in (200, 422), (page, answer.text[:300])


def test_every_page_and_json_answer_without_a_query(fresh: RunningServer) -> None:
    documented = fresh.client.get("/api/v1/openapi.json").json()["paths"]
    for path, methods in documented.items():
        if "get" in methods and "{" not in path:
            answer = fresh.client.get(path)
            assert answer.status_code in (200, 422), (path, answer.text[:300])
    tour = fresh.client.get("/foundations").text
    pages = {f"/foundations/{name}" for name in ("neuron", "schemes", "derivatives", "matmul")}
    assert all(page in tour for page in pages)
    for page in (*sorted(pages), "/foundations", "/why/diagnosis", "/docs"):
        assert fresh.client.get(page).status_code == 200, page


def test_the_registry_and_the_documentation_know_them(fresh: RunningServer) -> None:
    registry = fresh.client.get("/api/v1/registry").json()
    for parameter, value in CHOICES.items():
        assert value in {entry["name"] for entry in registry[parameter]}
        assert value in registry["parameters"]["properties"][parameter]["enum"]
    for kind, name in (("rule", "always"), ("matmul", "transposed"), ("layer", "peak_norm")):
        assert name in {entry["name"] for entry in registry[kind]}
    openapi = json.dumps(fresh.client.get("/api/v1/openapi.json").json())
    assert all(f'"{value}"' in openapi for value in CHOICES.values())


def test_the_foundations_show_them(fresh: RunningServer) -> None:
    for page, word in (("derivatives", "snake"), ("derivatives", "log_cosh"), ("neuron", "snake"),
                       ("schemes", "triangular"), ("matmul", "of transposes")):  # fmt: skip
        assert word in html.unescape(fresh.client.get(f"/foundations/{page}").text), (page, word)
    one = fresh.client.get("/foundations/derivatives", params={"name": "snake"})
    assert one.status_code == 200
    race = fresh.client.get(
        "/api/v1/foundations/matmul/stream", params={"m": 4, "k": 4, "n": 4}
    ).text
    assert "transposed" in race


def test_the_command_line_runs_them(interpreter: Interpreter) -> None:
    program = "import tests.additions; from layerscope.app.cli import main; main()"
    flags = [f"--{name}={value}" for name, value in {**params({}), **CHOICES}.items()]
    done = interpreter.run("-c", program, "run", "--json", *flags)
    assert done.returncode == 0, done.stderr
    kinds = [layer["kind"] for layer in json.loads(done.stdout)["layers"]]
    assert kinds[:3] == ["linear", "peak_norm", "snake"]
    shown = interpreter.run("-c", program, "run", "--help")
    assert "triangular" in shown.stdout
