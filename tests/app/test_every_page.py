"""Every page and every fragment, whole and as htmx asks for it."""

from __future__ import annotations

import re

import pytest
from fastapi.routing import iter_route_contexts

from layerscope.app.main import create_app
from layerscope.app.settings import Settings
from layerscope.app.templating import module_urls
from layerscope.engine.experiment import Experiment
from layerscope.engine.maps.axes import Axis
from layerscope.engine.maps.plane import Plane
from layerscope.engine.store import Batch
from layerscope.engine.store.entries import Finish, Modules, Start
from tests.asking import AppClient
from tests.runs import facts

APP = create_app(Settings(warm_up=False, max_flops=1e10))
APP.state.readiness.state = "ready"
RUN = "run-of-every-page"
PLANE = Plane(Axis.of("depth", [1, 2]), Axis.of("width", [4]), Experiment(batch=4), "loss")
TOLD = [Start("tiny", {}, 0.0), Modules([f.to_bytes() for f in facts(1)]), Finish("finished", 0.0)]
PATHS = sorted(
    context.path.replace("{run}", RUN).replace("{map}", PLANE.id)
    for context in iter_route_contexts(APP.routes)
    if "GET" in (context.methods or ()) and "{path" not in context.path
)
NEEDS = {f"/runs/{RUN}/module": f"module={facts(1)[0].name}"}
OWN = re.compile(r"^/static/[0-9a-f]{12}/js/")
HTMX = {"HX-Request": "true", "HX-Target": "main", "HX-Current-URL": "http://localhost/"}
BOOSTED = {**HTMX, "HX-Boosted": "true", "HX-History-Restore-Request": "true"}


@pytest.fixture(scope="module")
def client():
    APP.state.store.append(RUN, Batch(1, TOLD))
    APP.state.charting.kept.begin(PLANE)
    APP.state.charting.kept.end(PLANE.id, "finished")
    return AppClient(APP)


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_every_route_answers_htmx_as_it_answers_a_browser(client, path):
    asked = [("GET", {}), ("GET", HTMX), ("HEAD", BOOSTED)]
    url = f"{path}?{NEEDS[path]}" if path in NEEDS else path
    whole, part, head = [client.request(method, url, headers=given) for method, given in asked]
    assert whole.status_code < 500
    assert whole.status_code == part.status_code == head.status_code
    scripts = re.findall(r'<script [^>]*type="module"[^>]* src="([^"]+)"', whole.text)
    asked_for = set(re.findall(r'<link rel="modulepreload" href="([^"]+)"', whole.text))
    assert asked_for == {url for each in scripts for url in module_urls(OWN.sub("js/", each))}
    if ("<html" in whole.text) != ("<html" in part.text):  # neither in the other's place
        assert "no-store" in part.headers["cache-control"]
        assert all("HX-Request" in each.headers["vary"] for each in (whole, part))


@pytest.mark.slow
@pytest.mark.parametrize("query", ["depth=0", "nonsense=1", "a=%FF", "seed=1&seed=2", "%00"])
@pytest.mark.parametrize("path", PATHS)
def test_every_route_refuses_a_bad_query_either_way(client, path, query):
    for headers in ({}, HTMX):
        assert client.get(f"{path}?{query}", headers=headers).status_code < 500


NO_WHOLE_NUMBERS = ("9" * 5000, "0" * 5000 + "1", "٣", "²", "1_0", "1.5", "+-1", "0x1")
OUR_OWN = {  # which the schema leaves out
    "/lab/layer": {"block"}, "/lab/stream": {"block"}, f"/runs/{RUN}/tensors": {"step"},
}  # fmt: skip
INTEGERS = dict.fromkeys(PATHS, frozenset[str]()) | {
    path.replace("{run}", RUN).replace("{map}", PLANE.id): {
        parameter["name"]
        for parameter in operations.get("get", {}).get("parameters", ())
        if parameter.get("schema", {}).get("type") == "integer"
    }
    for path, operations in APP.openapi()["paths"].items()
} | OUR_OWN  # fmt: skip
EVERY_INTEGER = sorted(set().union(*INTEGERS.values()))


@pytest.mark.parametrize("path", [path for path in PATHS if INTEGERS[path]])
def test_what_is_no_whole_number_is_refused_as_a_word_is(client, path):
    wrong = []
    for name in sorted(INTEGERS[path]):
        as_word = client.head(path, params={name: "word"}).status_code
        assert as_word >= 400, name
        for text in NO_WHOLE_NUMBERS:
            found = client.head(path, params={name: text}).status_code
            if found != as_word:
                wrong.append((name, text[:20], found, as_word))
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_thousands_of_digits_never_break_a_route(client, path):
    for name in EVERY_INTEGER:
        assert client.head(path, params={name: "9" * 5000}).status_code < 500, name


def test_the_integer_parameters_are_all_asked():
    assert {"after", "block", "depth", "from", "layer", "points", "seed", "to", "width"} <= set(
        EVERY_INTEGER
    )


@pytest.mark.slow
def test_who_has_an_answer_already_is_told_so(client):
    of_an_experiment = ("/api/v1/experiment", "/api/v1/why/", "/lab/layer")
    asked = {"/api/v1/experiment/layer": "&layer=0", "/lab/layer": "&block=1",
             "/api/v1/experiment/tensor": "&layer=0&tensor=weight"}  # fmt: skip
    tagged = 0
    for path in PATHS:
        small = path.startswith(of_an_experiment) and path != "/api/v1/why/diagnosis"
        url = f"{path}?depth=1&width=4&batch=4{asked.get(path, '')}" if small else path
        first = client.get(url)
        if tag := first.headers.get("etag"):
            again = client.get(url, headers={"If-None-Match": tag})
            assert (again.status_code, again.content) == (304, b""), path
            assert again.headers["etag"] == tag
            tagged += 1
    assert tagged >= 20
