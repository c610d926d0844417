"""Entries posted to a run: kept once, in order, and never a 5xx for what is posted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscope.engine.store import Batch
from layerscope.engine.store.entries import Finish, Modules, Start, StepEntry
from layerscope.engine.store.remote import MEDIA_TYPE
from tests.runs import facts

URL = "/api/v1/runs/run-1/entries"
SECRET = "x" * 20
START = Start("digits", {"lr": 0.1}, 0.0)


@pytest.fixture
def client(ask, tmp_path):
    made = ask(data_dir=tmp_path)
    yield made
    made.app.state.store.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    from layerscope.app.main import create_app
    from layerscope.app.settings import Settings
    from tests.asking import AppClient

    return AppClient(create_app(Settings(warm_up=False, data_dir=tmp_path_factory.mktemp("data"))))


def step(number, payload):
    return StepEntry(number, 0.0, 1.0, payload)


def post(client, content, url=URL, **headers):
    body = content.to_bytes() if isinstance(content, Batch) else content
    return client.post(url, content=body, headers={"Content-Type": MEDIA_TYPE, **headers})


def test_entries_are_kept_once_and_in_order(client):
    first = Batch(
        1, [START, Modules([f.to_bytes() for f in facts(2)]), StepEntry(1, 0.0, 1.0, b"a")]
    )
    answer = post(client, first)
    assert (answer.status_code, answer.json()) == (200, {"received": 3})
    assert answer.headers["cache-control"] == "no-store"
    assert post(client, first).json() == {"received": 3}
    more = Batch(
        3, [StepEntry(1, 0.0, 1.0, b"a"), StepEntry(2, 0.0, 1.0, b"b"), Finish("finished", 0.0)]
    )
    assert post(client, more).json() == {"received": 5}
    assert post(client, Batch(6, [])).json() == {"received": 5}
    store = client.app.state.store
    assert [s.payload for s in store.steps("run-1")] == [b"a", b"b"]
    assert (store.run("run-1").name, store.run("run-1").state) == ("digits", "finished")
    assert store.facts("run-1") == facts(2)


def test_a_gap_says_where_to_go_on(client):
    post(client, Batch(1, [START]))
    for url, received in ((URL, 1), ("/api/v1/runs/unheard/entries", 0)):
        answer = post(client, Batch(7, [StepEntry(1, 0.0, 1.0, b"")]), url)
        assert answer.status_code == 409
        problem = answer.json()
        assert (problem["type"], problem["received"]) == ("/docs#problem-gap", received)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "expected a batch of version 1, got no byte at all"),
        (b"\x02\x92\x01\x90", "expected a batch of version 1, got 2"),
        (b"\x01", "not a batch"),
        (b"\x01\x92\x00\x90", "Expected `int` >= 1"),
        (b"\x01" + b"\x91" * 100_000, "not a batch"),
        (Batch(1, [StepEntry(1, 0.0, 1.0, b"")]), "entry 1: `start` is the first entry"),
        (Batch(1, [START, START]), "entry 2: `start` is the first entry"),
        (Batch(1, [Start(None, {}, float("nan"))]), "entry 1: expected a finite time"),
        (Batch(1, [START, Modules([b"x"])]), "entry 2: Facts: expected version 1, got 120"),
        (Batch(1, [Start("n" * 201, {}, 0.0)]), "length <= 200"),
        (Batch(1, [START, step(2**63, b"")]), "Expected `int` <= 9223372036854775807"),
    ],
)  # fmt: skip
def test_a_bad_body_is_told_what_was_expected(client, body, said):
    answer = post(client, body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert answer.json()["errors"][0]["field"] == "body"


@given(st.binary(max_size=200) | st.builds(lambda b: b"\x01" + b, st.binary(max_size=200)))
def test_no_bytes_are_the_servers_fault(shared, body):
    assert post(shared, body).status_code in (409, 422)


def mutated():
    whole = Batch(1, [
        Start("a\0b", {"deep": [[{}]]}, 1.0), StepEntry(-(2**63), 1e308, float("nan"), b"x"),
    ]).to_bytes()  # fmt: skip
    place, byte = st.integers(1, len(whole) - 1), st.integers(0, 255)
    return st.builds(lambda i, b: whole[:i] + bytes([b]) + whole[i + 1 :], place, byte)


@given(mutated())
def test_no_changed_byte_is_the_servers_fault(shared, body):
    assert post(shared, body).status_code in (200, 409, 422)


def test_who_may_and_what(client, ask, tmp_path):
    batch = Batch(1, [START])
    assert post(client, batch, "/api/v1/runs/a.b/entries").status_code == 422
    assert post(client, batch, f"/api/v1/runs/{'x' * 65}/entries").status_code == 422
    for headers in ({"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}):
        answer = post(client, batch, **headers)
        assert answer.status_code == 415
        assert answer.headers["accept-post"] == MEDIA_TYPE
    guarded = ask(data_dir=tmp_path, token=SECRET)
    assert post(guarded, batch).status_code == 401
    assert post(guarded, batch, Authorization=f"Bearer {SECRET}").status_code == 200
    assert post(client, batch, Origin="http://evil.example").status_code == 403
    guarded.app.state.store.close()


def test_only_entries_may_be_large(ask, tmp_path):
    client = ask(data_dir=tmp_path, max_batch_bytes=100_000, max_body_bytes=1000)
    large = Batch(1, [START, StepEntry(1, 0.0, None, bytes(90_000))])
    assert post(client, large).status_code == 200
    too_large = post(client, Batch(1, [START, StepEntry(1, 0.0, None, bytes(110_000))]))
    assert too_large.status_code == 413
    assert "expected at most 100000" in too_large.json()["detail"]
    assert client.post("/api/v1/experiment", content=bytes(2000)).status_code == 413
    client.app.state.store.close()


def test_a_store_that_cannot_be_used_is_said(client, tmp_path):
    (tmp_path / "runs.db").write_bytes(b"no database at all, and long enough to be looked at" * 99)
    answer = post(client, Batch(1, [START]))
    assert answer.status_code == 503
    assert answer.json()["type"] == "/docs#problem-store"
    assert "is no SQLite database" in answer.json()["detail"]
    assert answer.headers["retry-after"]
