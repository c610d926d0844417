"""Caching, compression and documents of the experiment routes."""

from __future__ import annotations

import httpx
import pytest

from layerscope.app.results import EVERYTHING, planned
from layerscope.app.settings import Settings
from layerscope.engine.diagnosis.run import ResultCost
from layerscope.engine.experiment.specification import Experiment

URL = "/api/v1/experiment"


def test_a_known_tag_is_answered_without_computing(server, works):
    first = server.client.get(URL, params={"depth": 3})
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "public, max-age=60"

    works.clear()
    again = server.client.get(URL, params={"depth": 3}, headers={"If-None-Match": tag})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == tag
    assert works == []


def test_the_tag_follows_the_numbers_not_the_spelling(server):
    def tag(query):
        return server.client.head(f"{URL}?{query}").headers["etag"]

    assert (
        tag("depth=3") == tag("depth=3&width=100") == tag("width=1e2&depth=3".replace("1e2", "100"))
    )
    assert tag("init_scale=1") == tag("init_scale=1.0") == tag("")
    assert tag("depth=3") != tag("depth=4")


def test_head_computes_nothing(server, works):
    answer = server.client.head(URL, params={"depth": 3})
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["content-type"] == "application/json"
    assert server.client.head(URL, params={"depth": 0}).status_code == 422
    events = server.client.head(f"{URL}/stream", params={"depth": 3})
    assert events.headers["content-type"].startswith("text/event-stream")
    assert works == []


def test_results_are_compressed(server):
    packed = server.client.get(URL, params={"depth": 3}, headers={"Accept-Encoding": "gzip"})
    plain = server.client.get(URL, params={"depth": 3}, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 3
    assert "accept-encoding" in packed.headers["vary"].lower()
    assert packed.json()["layers"] == plain.json()["layers"]


def test_post_says_where_the_same_result_can_be_got(server):
    posted = server.client.post(URL, json={"depth": 2, "init_scale": 0.5})
    link = posted.headers["content-location"]
    assert link == f"{URL}?init_scale=0.5&depth=2"
    assert server.client.get(link).json()["layers"] == posted.json()["layers"]


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "application/vnd.api+json"],
)
def test_json_types_are_taken(server, content_type):
    headers = {"Content-Type": content_type}
    answer = server.client.post(URL, content=b'{"depth": 1}', headers=headers)
    assert answer.status_code == 200


def test_an_empty_object_is_the_default_experiment(server):
    assert server.client.post(URL, json={}).json()["experiment"] == Experiment().to_dict()


def test_the_script_runs_alone(server, interpreter, tmp_path):
    source = server.client.get(f"{URL}/script", params={"depth": 2, "width": 8})
    assert source.headers["content-type"].startswith("text/x-python")
    path = tmp_path / "experiment.py"
    path.write_text(source.text)
    done = interpreter.run(path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_registry_names_what_parameters_take(server):
    registry = server.client.get("/api/v1/registry").json()
    for parameter in ("activation", "init", "norm", "loss", "data", "dtype"):
        for entry in registry[parameter]:
            assert {"name", "formula", "source", "help"} <= set(entry), (parameter, entry)
            batch = {"data": "digits"} if entry["name"] == "digits" else {}
            answer = server.client.head(URL, params={**batch, parameter: entry["name"]})
            assert answer.status_code == 200, (parameter, entry["name"], answer.headers)
    for noun in ("matmul", "rule", "layer"):
        assert registry[noun], noun
        for entry in registry[noun]:
            assert {"name", "formula", "source", "help"} <= set(entry), (noun, entry)


def test_openapi_documents_every_parameter_with_its_bounds(server):
    api = server.client.get("/api/v1/openapi.json").json()
    for path in ("", "/stream", "/script", "/tensor", "/layer"):
        operation = api["paths"][URL + path]["get"]
        documented = {p["name"]: p for p in operation["parameters"]}
        assert set(Experiment.model_fields) <= set(documented), path
        assert documented["depth"]["schema"]["minimum"] == 1
        assert documented["depth"]["schema"]["maximum"] == 1000
        assert "relu" in documented["activation"]["schema"]["enum"]
        assert "application/problem+json" in operation["responses"]["422"]["content"]
    stream = api["paths"][f"{URL}/stream"]["get"]["responses"]["200"]["content"]
    assert "event: start" in stream["text/event-stream"]["example"]
    assert Experiment.json_schema()["properties"]["depth"]["default"] == 50


@pytest.mark.slow
def test_the_same_bits_from_another_server(server, serve):
    with serve() as other:
        answers: list[httpx.Response] = [
            each.client.get(URL, params={"depth": 4, "seed": 7}) for each in (server, other)
        ]
    assert answers[0].headers["etag"] == answers[1].headers["etag"]
    assert answers[0].json()["layers"] == answers[1].json()["layers"]


def test_gradients_are_held_against_autograds_where_that_is_asked(server):
    def check(answer):
        assert answer.status_code == 200, answer.text
        return answer.json()["check"]

    query = {"depth": 2, "width": 8}
    assert check(server.client.get(URL, params=query)) is None
    assert check(server.client.get(URL, params={**query, "check": "false"})) is None
    assert check(server.client.post(URL, json=query)) is None
    asked = server.client.get(URL, params={**query, "check": "true"})
    assert check(asked)["autograd_max_relative_error"] < 1e-5
    assert check(server.client.post(URL, params={"check": "true"}, json=query)) == check(asked)
    posted = server.client.post(URL, json={**query, "check": True})
    assert check(posted) == check(asked)
    assert check(server.client.get(posted.headers["content-location"])) == check(asked)
    assert server.client.head(URL, params=query).headers["etag"] != asked.headers["etag"]


@pytest.mark.parametrize("given", ["yes", "", "2", "true,false"])
def test_a_check_that_is_no_yes_or_no_is_refused(server, given):
    for answer in (
        server.client.get(URL, params={"check": given}),
        server.client.post(URL, params={"check": given}, json={}),
        server.client.post(URL, json={"check": given}),
    ):
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert (error["field"], error["value"]) == ("check", given)
        assert error["message"] == "expected true or false"
    assert server.client.post(URL, json={"check": 1}).status_code == 422
    assert server.client.get(f"{URL}?check=true&check=true").status_code == 422
    twice = server.client.post(f"{URL}?check=true&check=true", json={})
    assert twice.json()["errors"][0]["message"] == "given more than once; expected it once"


def test_what_is_not_checked_is_not_paid_for():
    parts = ResultCost.of(Experiment(depth=2, width=8))
    limit = parts.sum(check=False).flops
    assert limit < parts.sum(check=True).flops
    settings = Settings(max_flops=limit)
    assert planned(Experiment(depth=2, width=8), settings, check=False).left_out == EVERYTHING
    assert planned(Experiment(depth=2, width=8), settings).left_out != EVERYTHING
