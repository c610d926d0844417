"""One shape of error under every route, whatever is asked of it."""

from __future__ import annotations

import http.client
import socket
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerscope.app.errors import KINDS, Problem
from layerscope.app.main import create_app
from layerscope.app.settings import Settings
from layerscope.engine.basis.refusals import field_error
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.maps.axes import Axis
from layerscope.engine.maps.plane import Plane
from layerscope.engine.store import Batch
from layerscope.engine.store.entries import Start
from tests import working

URL = "/api/v1/experiment"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ROUTES = sorted(
    {
        (context.path, method)
        for context in iter_route_contexts(create_app(Settings()).routes)
        for method in context.methods or ()
    }
)
PATHS = sorted({path for path, _ in ROUTES})


def assert_problem(response: httpx.Response, status: int) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    problem = response.json()
    assert {"type", "title", "status", "detail"} <= set(problem)
    assert problem["status"] == status
    assert "Traceback" not in response.text
    if problem["type"] != "about:blank":
        assert problem["type"].removeprefix("/docs#problem-") in KINDS
    return problem


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_methods_a_path_has_not(server, path):
    allowed = {method for route, method in ROUTES if route == path}
    allowed |= {"HEAD"} if "GET" in allowed else set()
    target = path.replace("{path:path}", "js/theme.js")
    for method in set(METHODS) - allowed:
        response = server.client.request(method, target)
        if method == "HEAD":
            assert response.status_code == 405
            continue
        assert_problem(response, 405)
        assert set(response.headers["allow"].split(", ")) == allowed, path


@pytest.mark.parametrize("path", [path for path, method in ROUTES if method == "GET"])
def test_head_works_where_get_does(server, path):
    needs = {
        f"{URL}/tensor": "?layer=0&tensor=weight",
        f"{URL}/layer": "?layer=0",
        "/lab/layer": "?block=1",
        "/api/v1/compare": "?run=run-1&run=run-2",
    }
    for run in ("run-1", "run-2"):
        server.app.state.store.append(run, Batch(1, [Start("tiny", {}, 0.0)]))
    plane = Plane(Axis.of("depth", [1]), Axis.of("width", [4]))
    server.app.state.charting.kept.begin(plane)
    server.app.state.charting.kept.end(plane.id, "finished")
    target = path.replace("{path:path}", "js/theme.js").replace("{run}", "run-1")
    target = target.replace("{map}", plane.id)
    response = server.client.head(target + needs.get(path, ""))
    refused = path == "/runs/{run}/tensors"  # of a run that was not trained here, as GET says
    assert response.status_code == (409 if refused else 200), target
    assert response.content == b""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ["/nothing", "/api", "/api/v1/", "/api/v1/experiment/", "/static"])
def test_unknown_paths(server, method, path):
    response = server.client.request(method, path)
    if method == "HEAD":
        assert response.status_code == 404
    else:
        problem = assert_problem(response, 404)
        assert path in problem["detail"]


BAD = {
    "depth": ["0", "1001", "-1", "1.5", "abc", "", "9" * 10_000, "NaN", "1e3", "\0", "½", "١"],
    "width": ["0", "4097", "0x10"],
    "inputs": ["0", "4097", "none"],
    "batch": ["0", "65537"],
    "activation": ["", "Relu", "relu ", "a" * 10_000, "__class__", "\0"],
    "init": ["normal;", "randn"],
    "init_scale": ["-1", "100.1", "nan", "inf", "-0.0", "1e999", "1_0", "0x1p3", "1,5"],
    "bias_std": ["-0", "-0.0", "101"],
    "bias_mean": ["-100.1", "-0.0", "1e3"],
    "alpha": ["-1", "100.5", "slope"],
    "fan": ["fan_avg", "in", ""],
    "output_scale": ["-1", "100.5"],
    "input_scale": ["-0.1", "1001", "nan"],
    "input_mean": ["-1001", "inf", "x"],
    "reduction": ["none", "batchmean"],
    "norm": ["layer_norm", "group"],
    "norm_gain": ["-1", "100.5", "x"],
    "branch_scale": ["-0.5", "1e3", "-0.0"],
    "layer_gains": ["x", "1,", "1,,2", "-1", "-0", "101", "1;2", "nan", "1e999", "½", "1," * 60],
    "block_order": ["first", "", "linear-last"],
    "residual": ["maybe", "2", "TRUE "],
    "backward_scale": ["0", "-1", "1e-7", "1e10", "x"],
    "data": ["mnist"],
    "loss": ["l1x"],
    "dtype": ["int8", "float8"],
    "seed": ["-1", str(2**64), "1.0"],
}


def test_every_parameter_has_bad_values_here():
    assert set(BAD) == set(Experiment.model_fields)


@pytest.mark.slow
@pytest.mark.parametrize("route", ["", "/stream", "/script"])
@pytest.mark.parametrize("field", BAD)
def test_bad_values_name_field_value_and_expectation(server, route, field):
    for value in BAD[field]:
        response = server.client.get(URL + route, params={field: value})
        (error,) = assert_problem(response, 422)["errors"]
        assert error["field"] == field
        assert error["message"].startswith("expected "), error
        assert str(error["value"])[:50] == value[:50] or value == ""


def test_unknown_repeated_and_several(server):
    problem = assert_problem(server.client.get(f"{URL}?depht=3"), 422)
    assert problem["errors"][0]["field"] == "depht"
    assert "depth" in problem["errors"][0]["message"]
    problem = assert_problem(server.client.get(f"{URL}?depth=3&depth=3"), 422)
    assert "more than once" in problem["errors"][0]["message"]
    problem = assert_problem(server.client.get(f"{URL}?depth=0&width=0&nope=1"), 422)
    assert {e["field"] for e in problem["errors"]} == {"depth", "width", "nope"}
    many = "&".join(f"a{i}=1" for i in range(500))
    assert_problem(server.client.get(f"{URL}?{many}"), 422)


@pytest.mark.parametrize(
    "query", ["depth=%ff", "%00=%00", "depth=%", "&&&=", "%ED%A0%80=1", "=", "a"]
)
def test_odd_encodings(server, query):
    if query == "&&&=":
        query = "&&&=x"
    assert_problem(server.client.get(f"{URL}?{query}"), 422)


@pytest.mark.parametrize("route", ["", "/stream"])
def test_over_a_limit_names_it_and_by_how_much(server, route):
    costly = {"depth": 1000, "width": 4096}
    problem = assert_problem(server.client.get(URL + route, params=costly), 422)
    assert problem["type"] == "/docs#problem-over-limit"
    assert problem["limit"] == "floating point operations"
    assert problem["asked"] > problem["allowed"]
    assert "times the limit" in problem["detail"]
    assert_problem(server.client.post(URL, json=costly), 422)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"x", "body"),
        (b"{", "body"),
        (b'{"depth": NaN}', "body"),
        (b'{"init_scale": Infinity}', "body"),
        (b'{"init_scale": 1e999}', "init_scale"),
        (b'{"init_scale": -0.0}', "init_scale"),
        (b'{"depth": 1, "depth": 1}', "depth"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "body"),
        (b'{"seed": ' + b"9" * 400 + b"}", "seed"),
        (b"[" * 30_000, "body"),
        (b"[" * 900 + b"]" * 900, "body"),
        (b'{"depth": ' + b"[" * 900 + b"]" * 900 + b"}", "depth"),
        (b"[]", "body"),
        (b"null", "body"),
        (b"3", "body"),
        (b'"depth"', "body"),
        (b'{"depth": "3"}', "depth"),
        (b'{"depth": 3.5}', "depth"),
        (b'{"depth": true}', "depth"),
        (b'{"residual": 1}', "residual"),
        (b'{"depth": null}', "depth"),
        (b'{"depth": {}}', "depth"),
        (b'{"nope": 1}', "nope"),
        (b'{"\\ud800": 1}', "body"),
        (b'{"activation": "\\ud800"}', "body"),
        (b"\xff\xfe{}", "body"),
        ('{"depth": 1}'.encode("utf-16"), "body"),
    ],
)
def test_bad_bodies(server, body, field):
    headers = {"Content-Type": "application/json"}
    response = server.client.post(URL, content=body, headers=headers)
    problem = assert_problem(response, 422)
    assert field == problem["errors"][0]["field"]
    assert len(response.content) < 2000


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json, text/plain"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_other_content_types(server, headers):
    response = server.client.post(URL, content=b"{}", headers=headers)
    assert_problem(response, 415)
    assert response.headers["accept-post"] == "application/json"


def test_a_body_over_the_limit_with_and_without_a_length(server):
    headers = {"Content-Type": "application/json"}
    long = b"[" + b" " * 70_000 + b"]"
    problem = assert_problem(server.client.post(URL, content=long, headers=headers), 413)
    assert "65536" in problem["detail"]
    pieces = (long[at : at + 5000] for at in range(0, len(long), 5000))
    assert_problem(server.client.post(URL, content=pieces, headers=headers), 413)


@pytest.mark.parametrize("value", [b"-5", b"abc", b"9" * 40])
def test_nonsense_lengths_never_break_the_server(server, value):
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as raw:
        raw.sendall(
            b"POST /api/v1/experiment HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: " + value + b"\r\n\r\n"
        )
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        assert answer.status in (400, 413)
    assert server.client.get("/healthz").status_code == 200


def test_a_bug_is_a_500_without_a_traceback_and_with_an_id(serve, monkeypatch):
    with serve(warm_up=False) as server:
        monkeypatch.setattr("layerscope.app.api.experiment.complete", working.buggy)
        response = server.client.get(URL)
        problem = assert_problem(response, 500)
        assert "secret" not in response.text
        assert problem["request_id"] == response.headers["x-request-id"]
        assert "content-security-policy" not in problem


NAMES = st.sampled_from([*Experiment.model_fields, "layer", "tensor", "format"]) | st.text()
VALUES = (
    st.text() | st.integers().map(str) | st.floats().map(str) | st.sampled_from(["relu", "npy"])
)


@pytest.mark.slow
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    route=st.sampled_from(["", "/stream", "/tensor", "/layer", "/script"]),
    pairs=st.lists(st.tuples(NAMES, VALUES), max_size=4),
)
def test_no_query_breaks_the_server(server, route, pairs):
    bounded = [("depth", "2"), ("width", "4"), ("batch", "4"), *pairs]
    response = server.client.get(URL + route, params=_encodable(bounded))
    assert response.status_code in (200, 404, 422), response.text
    if response.status_code != 200:
        assert_problem(response, response.status_code)


@pytest.mark.slow
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
        max_leaves=8,
    )
)
def test_no_body_breaks_the_server(server, body):
    import json

    text = json.dumps({"depth": 2, "width": 4, **body} if isinstance(body, dict) else body)
    headers = {"Content-Type": "application/json"}
    response = server.client.post(URL, content=text.encode(), headers=headers)
    assert response.status_code in (200, 422), response.text
    if response.status_code != 200:
        assert_problem(response, 422)


def _encodable(pairs):
    return [tuple(part.encode("utf-8", "replace").decode() for part in pair) for pair in pairs]


def test_an_undocumented_kind_is_refused():
    with pytest.raises(ValueError, match="KINDS"):
        Problem(422, "?", kind="made-up")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2**70, "0x400000000000000000"),
        (float("nan"), "nan"),
        ("x" * 300, "x" * 200 + "… (300 characters)"),
        ("\ud800", "?"),
        (True, True),
        (None, None),
        (1.5, 1.5),
        ([1], "[1]"),
    ],
)
def test_any_value_can_be_told(value, shown):
    assert field_error("f", "m", value)["value"] == shown


@pytest.mark.parametrize("name", ["depth", "seed", "nonsense"])
def test_a_long_value_is_cut_once_and_its_length_told(server, name):
    answer = server.client.get(URL, params={name: "9" * 400})
    (error,) = assert_problem(answer, 422)["errors"]
    assert error["value"] == "9" * 200 + "… (400 characters)"


def test_a_wrong_address_is_a_page_to_people_and_a_problem_to_programs(server):
    page = server.client.get("/nowhere<b>", headers={"Accept": "text/html,*/*"})
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "There is nothing at this address" in page.text
    assert (
        "<b>"
        not in page.text.partition("<main")[2].partition("There is")[2].partition("</code>")[0]
    )
    assert_problem(server.client.get("/nowhere"), 404)
    posted = server.client.post("/nowhere", headers={"Accept": "text/html"})
    assert_problem(posted, 404)
