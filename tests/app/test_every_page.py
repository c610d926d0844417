"""Every page and every fragment, whole and as htmx asks for it."""

from __future__ import annotations

import pytest
from fastapi.routing import iter_route_contexts

from layerscope.app.main import create_app
from layerscope.app.settings import Settings
from tests.asking import AppClient

APP = create_app(Settings(warm_up=False, max_flops=1e8))
PATHS = sorted(
    context.path
    for context in iter_route_contexts(APP.routes)
    if "GET" in (context.methods or ()) and "{" not in context.path
)
HTMX = {"HX-Request": "true", "HX-Current-URL": "http://localhost/"}
ASKED = [
    {},
    HTMX,
    {**HTMX, "HX-Target": "main", "HX-Trigger": "step-form"},
    {**HTMX, "HX-Target": "<nothing>"},
    {**HTMX, "HX-Boosted": "true"},
    {**HTMX, "HX-History-Restore-Request": "true"},
]


@pytest.fixture(scope="module")
def client():
    return AppClient(APP)


@pytest.mark.parametrize("path", PATHS)
def test_every_route_answers_htmx_as_it_answers_a_browser(client, path):
    found = []
    for headers in ASKED:
        for method in ("GET", "HEAD"):
            answer = client.request(method, path, headers=headers)
            assert answer.status_code < 500, (method, headers)
            found.append(answer.status_code)
    assert len(set(found)) == 1


@pytest.mark.parametrize("query", ["depth=0", "nonsense=1", "a=%FF", "seed=1&seed=2", "%00"])
@pytest.mark.parametrize("path", PATHS)
def test_every_route_refuses_a_bad_query_either_way(client, path, query):
    for headers in ({}, HTMX):
        assert client.get(f"{path}?{query}", headers=headers).status_code < 500
