"""Runs as they are read: over the API, followed, changed, and as pages."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
import re
from html import unescape

import msgspec
import pytest
import torch
from torch import nn

import layerscope
from layerscope.app.errors import Problem
from layerscope.app.figures.signal import signal
from layerscope.app.figures.strip import cell_css, cell_words
from layerscope.app.recorded import Follower, Pulse, Question
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.series import QUANTITIES, SERIES
from layerscope.engine.probe.spread import spreads
from layerscope.engine.probe.step import Quantity, Slot, Step
from layerscope.engine.statistics import Histogram, Statistics
from layerscope.engine.store import Batch, open_run, open_store
from layerscope.engine.store.entries import (
    Findings,
    Finish,
    Modules,
    Start,
    StepEntry,
    StoredFinding,
)
from tests.runs import facts

HOSTILE = "<script>alert(1)</script> & =1+1"


def train(url: str, steps: int = 12, name: str = "tiny", lr: float = 0.1) -> None:
    """A real training, recorded at every step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    x = torch.randn(16, 6)
    with layerscope.watch(model, optimizer, to=url, name=name, every=1) as probe:
        for _ in range(steps):
            loss = (model(x) - x[:, :1]).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.step(loss)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("runs")
    url = f"sqlite:///{found}/runs.db"
    train(url)
    train(url, name=HOSTILE, lr=1e12)
    return found


@pytest.fixture
def client(ask, folder):
    made = ask(data_dir=folder)
    yield made
    made.app.state.store.close()


@pytest.fixture
def runs(client):
    """The healthy run's id, and the other's."""
    found = client.get("/api/v1/runs").json()["runs"]
    return found[1]["id"], found[0]["id"]


def test_the_list_is_newest_first_and_in_pages(client):
    answer = client.get("/api/v1/runs").json()
    assert [r["name"] for r in answer["runs"]] == [HOSTILE, "tiny"]
    assert answer["next"] is None
    assert {r["state"] for r in answer["runs"]} == {"finished"}
    page = client.get("/api/v1/runs?limit=1").json()
    assert [r["name"] for r in page["runs"]] == [HOSTILE]
    older = client.get("/api/v1/runs", params={"limit": 1, "before": page["next"]}).json()
    assert [r["name"] for r in older["runs"]] == ["tiny"]


@pytest.mark.slow
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_series_is_what_the_probe_saw(client, runs, quantity):
    run = runs[0]
    answer = client.get(f"/api/v1/runs/{run}/series?quantity={quantity}").json()
    store = client.app.state.store
    stored = store.steps(run)
    steps = [Step.from_bytes(s.payload) for s in stored]
    assert answer["steps"] == [s.number for s in steps] == list(range(1, 13))
    if quantity == "loss":
        assert answer["values"] == [[s.loss for s in stored]]
    elif quantity == "learning_rate":
        assert answer["values"] == [[0.1] * 12]
    else:
        facts = store.facts(run)
        assert answer["modules"] == [f.name for f in facts] == ["0", "1", "2"]
        assert answer["values"] == [[SERIES[quantity](s, f) for s in steps] for f in facts]


def test_a_series_of_some_modules_between_two_steps(client, runs):
    url = f"/api/v1/runs/{runs[0]}/series"
    answer = client.get(f"{url}?modules=2,0&from=3&to=5").json()
    whole = client.get(url).json()
    assert answer["modules"] == ["2", "0"]
    assert answer["steps"] == [3, 4, 5]
    assert answer["values"] == [whole["values"][2][2:5], whole["values"][0][2:5]]


@pytest.mark.parametrize("tensor", ["activation", "activation.grad", "weight.update"])
def test_histograms_are_what_the_probe_saw(client, runs, tensor):
    query = f"quantity=histogram&modules=0,1&from=3&to=9&tensor={tensor}"
    answer = client.get(f"/api/v1/runs/{runs[0]}/series?{query}").json()
    store = client.app.state.store
    facts = store.facts(runs[0], ModuleFacts)[:2]
    expected = spreads(tensor, store.steps(runs[0], 3, 10), facts).to_dict()
    assert answer == json.loads(json.dumps(expected))
    assert answer["steps"] == list(range(3, 10))
    assert answer["dtypes"] == ["float32", None if tensor == "weight.update" else "float32"]
    assert (answer["values"][1][0] is None) == (tensor == "weight.update")


def test_a_steps_signal_is_that_of_its_records(client, runs):
    run, store = runs[0], client.app.state.store
    for asked, number in (("?step=5", 5), ("?step=900", 12), ("", 12)):
        answer = client.get(f"/runs/{run}/signal{asked}")
        assert answer.headers["cache-control"] == "no-store"
        (stored,) = store.steps(run, number, number + 1)
        step = Step.from_bytes(stored.payload)
        last = step.of(2, Quantity.GRADIENT)
        pairs = [(step.of(i, Quantity.ACTIVATION), step.of(i, Quantity.GRADIENT)) for i in range(3)]
        assert answer.json() == {
            "step": number,
            "modules": [
                [cell_css(a), cell_words(a), cell_css(g, last.std), cell_words(g)] for a, g in pairs
            ],
            "figures": [[a.std, a.mean, 0, g.rms if g.std is None else g.std, 0] for a, g in pairs],
            "dtype": "float32",
        }
    broken = client.get(f"/runs/{runs[1]}/signal")
    assert "s-nan" in broken.text
    (stored,) = client.app.state.store.steps(runs[1], 12, 13)
    step = Step.from_bytes(stored.payload)
    found = [[step.of(i, q) for q in (Quantity.ACTIVATION, Quantity.GRADIENT)] for i in range(3)]
    lost = [[(s.posinf + s.neginf > 0) + 2 * (s.nan > 0) for s in pair] for pair in found]
    assert [[row[2], row[4]] for row in broken.json()["figures"]] == lost
    assert sum(map(sum, lost)) > 0
    page = client.get(f"/runs/{run}?step=5").text
    assert page.count('<li class="cell q') == 6
    assert client.get(f"/runs/{run}/signal?step=-1").status_code == 422
    assert client.get("/runs/none/signal").status_code == 404


def test_a_signal_without_figures_is_empty():
    assert signal(None, facts(2)).to_dict() == {
        "step": None, "modules": [[None] * 4] * 2, "figures": [(None, None, 0, None, 0)] * 2,
        "dtype": "float32",
    }  # fmt: skip


def test_histograms_of_what_is_not_finite_count_it(client, runs):
    url = f"/api/v1/runs/{runs[1]}/series?quantity=histogram"
    rows = client.get(url).json()["values"]
    assert any(each["nan"] + each["posinf"] + each["neginf"] for row in rows for each in row)


def test_what_is_not_finite_is_null_and_counted(client, runs):
    run = runs[1]
    answer = client.get(f"/api/v1/runs/{run}/series?quantity=nonfinite").json()
    assert any(any(row) for row in answer["values"])
    losses = client.get(f"/api/v1/runs/{run}/series?quantity=loss").json()["values"][0]
    assert losses[0] is not None
    assert None in losses


@pytest.mark.parametrize(
    ("query", "field"),
    [("quantity=fun", "quantity"), ("points=5", "points"), ("points=1e3", "points"),
     ("from=-1", "from"), ("to=x", "to"), ("modules=9", "modules"), ("colour=red", "colour"),
     ("tensor=weight", "tensor"), ("quantity=histogram&modules=0&tensor=colour", "tensor"),
     ("quantity=histogram&points=2000&modules=" + ",".join("012012012012"), "modules")],
)  # fmt: skip
def test_a_bad_question_is_refused_by_name(client, runs, query, field):
    answer = client.get(f"/api/v1/runs/{runs[0]}/series?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.slow
@pytest.mark.parametrize("path", ["", "/series", "/stream", "/export", "/restore"])
def test_an_unknown_run_is_a_404(client, path):
    method = "POST" if path == "/restore" else "GET"
    answer = client.request(method, f"/api/v1/runs/none{path}")
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("no-such-run")


def events(text: str) -> list[dict[str, str]]:
    return [
        dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        for block in text.split("\n\n")
        if "data: " in block
    ]


def test_following_brings_everything_and_resumes_after_an_id(client, runs):
    url = f"/api/v1/runs/{runs[0]}/stream"
    whole = events(client.get(url).text)
    steps = [e for e in whole if e.get("event") == "step"]
    assert [json.loads(e["data"])["number"] for e in steps] == list(range(1, 13))
    assert whole[-1]["event"] == "end"
    rest = events(client.get(url, headers={"Last-Event-ID": steps[8]["id"]}).text)
    numbers = [json.loads(e["data"])["number"] for e in rest if e.get("event") == "step"]
    assert numbers == [10, 11, 12]


def test_who_follows_a_run_shares_one_question_with_all_others(tmp_path, monkeypatch):
    writer = open_run(f"{tmp_path}/runs.db")
    writer.step(1, 1.0, b"")
    writer.finish()
    store, asked, position = writer.store, [], writer.store.position
    monkeypatch.setattr("layerscope.app.recorded.POLL_SECONDS", 0.0)
    monkeypatch.setattr(store, "position", lambda run: asked.append(run) or position(run))

    async def follow():
        followers = [Pulse.of(store, writer.id) for _ in range(50)]
        return await asyncio.gather(*(each.beat() for each in followers))

    assert asyncio.run(follow()) == [(3, "finished", writer.id)] * 50
    assert asked == [writer.id]


def test_who_follows_hears_that_the_store_is_gone(tmp_path):
    store = open_store(f"{tmp_path}/runs.db")
    follower = Follower(store, "none", 0, lambda _: [], lambda: False)
    with pytest.raises(Problem, match="there is no run"):
        asyncio.run(follower.ready(1))


def test_a_run_that_goes_on_is_followed_to_its_end(ask, tmp_path, until):
    """The writer is another thread: what it writes while the stream is open arrives in it."""
    from threading import Thread

    from layerscope.engine.store import open_run

    client = ask(data_dir=tmp_path)
    writer = open_run(f"sqlite:///{tmp_path}/runs.db", "live")
    writer.step(1, 1.0, b"")
    store = client.app.state.store
    until(lambda: bool(store.runs()[0]))
    run = writer.id

    def write() -> None:
        until(lambda: store.run(run).steps == 1)
        for number in range(2, 5):
            writer.step(number, 1.0 / number, b"")
        writer.finish("finished")

    thread = Thread(target=write)
    thread.start()
    got = events(client.get(f"/api/v1/runs/{run}/stream").text)
    thread.join()
    assert [json.loads(e["data"])["number"] for e in got if e.get("event") == "step"] == [
        1,
        2,
        3,
        4,
    ]
    assert got[-1]["event"] == "end"
    store.close()


def test_a_run_is_renamed_tagged_deleted_and_restored(ask, tmp_path):
    train(f"sqlite:///{tmp_path}/runs.db", 2)
    client = ask(data_dir=tmp_path)
    (run,) = client.get("/api/v1/runs").json()["runs"]
    url = f"/api/v1/runs/{run['id']}"
    changed = client.request("PATCH", url, json={"name": "other", "tags": ["a", "b"]}).json()
    assert (changed["name"], changed["tags"]) == ("other", ["a", "b"])
    for body, field in (
        ({}, "body"), ({"name": ""}, "name"), ({"name": 3}, "name"), ({"tags": "a"}, "tags"),
        ({"colour": 1}, "colour"), ([1], "body"),
    ):  # fmt: skip
        answer = client.request("PATCH", url, json=body)
        assert answer.status_code == 422, body
        assert answer.json()["errors"][0]["field"] == field
    assert client.request("PATCH", url, content=b"name=x").status_code == 415
    assert client.request("DELETE", url).status_code == 204
    assert client.get("/api/v1/runs").json()["runs"] == []
    assert client.post(f"{url}/restore").json()["name"] == "other"
    assert len(client.get("/api/v1/runs").json()["runs"]) == 1
    client.app.state.store.close()


def test_a_run_as_a_table_has_every_figure(client, runs):
    text = client.get(f"/api/v1/runs/{runs[0]}/export").text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 12 * 3
    series = client.get(f"/api/v1/runs/{runs[0]}/series").json()
    assert [float(r["std"]) for r in rows if r["module"] == "1"] == series["values"][1]
    assert client.get(f"/api/v1/runs/{runs[0]}/export?format=exe").status_code == 422


def test_the_list_shows_every_run_and_no_hostile_text(client):
    page = client.get("/runs").text
    assert "<script>alert" not in page
    assert HOSTILE in unescape(page)
    assert "not finite" in page
    found = client.get("/runs?q=TINY").text
    assert "tiny" in found
    assert "alert" not in found
    assert "No run has these words" in client.get("/runs?q=nothing+like+it").text


def test_without_runs_the_three_lines_are_shown(ask, tmp_path):
    client = ask(data_dir=tmp_path)
    page = client.get("/runs").text
    assert "layerscope.watch" in page
    client.app.state.store.close()


def test_a_runs_page_has_its_picture_and_a_module(client, runs):
    page = client.get(f"/runs/{runs[0]}?module=2&step=5&quantity=update_ratio")
    assert page.status_code == 200
    assert "weight: update Δw" in page.text
    drawing = json.loads(
        page.text.partition('id="drawing">')[2].partition("</script>")[0].replace("&#39;", "'")
    )
    series = client.get(f"/api/v1/runs/{runs[0]}/series?quantity=update_ratio").json()
    assert [list(row) for row in zip(*drawing["columns"], strict=True)] == series["values"]
    assert drawing["steps"] == series["steps"]
    missing = client.get("/runs/none")
    assert missing.status_code == 404
    assert "there is no run" in missing.text


def test_the_pages_own_stream_brings_the_picture_first(client, runs):
    got = events(client.get(f"/runs/{runs[0]}/follow?quantity=std").text)
    assert got[0]["event"] == "start"
    assert json.loads(got[0]["data"])["steps"] == list(range(1, 13))
    assert got[-1]["event"] == "end"


def test_evidence_that_the_explanation_holds_is_not_told_twice():
    from layerscope.app.figures.found import finding_view

    evidence = {"operands": "2 · 9e38 = 1.8e39", "made_by": "forward", "share": 0.5}
    shown = finding_view({"explanation": "There 2 · 9e38 = 1.8e39 came up.", "evidence": evidence})
    assert [each.name for each in shown.evidence] == ["made by", "share"]


def test_the_pages_stream_brings_findings_as_html(client, runs):
    """Followed from its first entry on, a run tells everything of itself once more."""
    from layerscope.app.pages.runs.run import _Teller

    store = client.app.state.store
    findings = store.findings(runs[1])
    assert findings
    teller = _Teller(Question(), store.facts(runs[1]), {}, "/why/diagnosis", lambda: None)
    told = dict(wire[:2] for wire in teller.told(store.follow(runs[1])))
    assert unescape(findings[0]["title"]) in unescape(told[""])
    assert json.loads(told["marks"])
    page = unescape(client.get(f"/runs/{runs[1]}").text)
    assert findings[0]["title"] in page


def test_a_row_changes_by_its_forms(ask, tmp_path):
    train(f"sqlite:///{tmp_path}/runs.db", 2)
    client = ask(data_dir=tmp_path)
    run = client.get("/api/v1/runs").json()["runs"][0]["id"]
    htmx = {"HX-Request": "true"}
    row = client.post(f"/runs/{run}/name", content=b"name=new+name", headers=htmx).text
    assert "new name" in row
    assert client.post(f"/runs/{run}/name", content=b"name=+").status_code == 422
    assert "keep" in client.post(f"/runs/{run}/tags", content=b"tags=keep,+x", headers=htmx).text
    assert "Undo" in client.post(f"/runs/{run}/delete", headers=htmx).text
    back = client.post(f"/runs/{run}/undelete")
    assert (back.status_code, back.headers["location"]) == (303, "/runs")
    client.app.state.store.close()


def test_a_store_that_cannot_be_read_is_said(ask, tmp_path):
    (tmp_path / "runs.db").write_bytes(b"no database at all" * 100)
    client = ask(data_dir=tmp_path)
    for path in ("/runs", "/runs/x", "/api/v1/runs", "/api/v1/runs/x"):
        answer = client.get(path)
        assert answer.status_code == 503, path
        assert "is no SQLite database" in unescape(answer.text)


ROUTES = ("/runs", "/runs/{}", "/runs/{}/follow", "/runs/{}/module?module=0",
          "/api/v1/runs", "/api/v1/runs/{}", "/api/v1/runs/{}/series", "/api/v1/runs/{}/stream",
          "/api/v1/runs/{}/export", "/api/v1/runs/{}/export?format=html",
          "/api/v1/runs/{}/export?format=parquet", "/api/v1/compare?run={}&run=odd2",
          "/compare?run={}&run=odd2")  # fmt: skip


def packed(*slots: Slot, counts: list[int], statistics: int = 1) -> bytes:
    """A step as a probe of ill will would write it."""
    s = Statistics(1, 1, 0.0, None, 0.0, 0.0, 0.0, 0, 0, 0, 0, 0, Histogram(0, [], []))
    step = [1, 0.0, 1.0, [0.1], [msgspec.to_builtins(s) for s in slots],
            [msgspec.to_builtins(s, enc_hook=lambda _: counts)] * statistics, []]  # fmt: skip
    return bytes((1,)) + msgspec.msgpack.encode(step)


ODD_FINDINGS = (
    {"evidence": {"x": math.inf, "y": math.nan}, "modules": ["a"] * 9},
    {"threshold": {"x": None, "y": {}, "warning_z": [1]}, "evidence": {"x": 1, "z": 2.0, "": {}}},
    {"modules": 3, "evidence": [], "threshold": [], "fix": [1], "since": [2], "rule": {}},
    {"modules": [None, {1: 2}, b"x"], "evidence": "text", "threshold": 1.0, "fix": {1: b"x"}},
    {"title": b"bytes", "explanation": 1, "severity": [b"x"], "rule": b"x", "since": 2},
)  # fmt: skip
ODD_CONFIG = {
    "a": [{1: 2}],
    "b": b"bytes",
    "modules": {"c.d": [b"x"]},
    "training": 1,
    "": {None: ()},
}


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x01", packed(Slot(0, 0), counts=[-(10**12)]),
     packed(Slot(0, 0), Slot(0, 1), counts=[1]), packed(Slot(0, 3, -1), counts=[1])],
    ids=["empty", "cut", "a histogram of terabytes", "statistics missing", "parameter -1"],
)  # fmt: skip
def test_whatever_was_posted_can_be_read(ask, tmp_path, payload):
    client = ask(data_dir=tmp_path)
    told = [Start("odd", ODD_CONFIG, -math.inf), Modules([f.to_bytes() for f in facts(1)]),
            StepEntry(1, 0.0, math.inf, payload), StepEntry(2, 0.0, math.nan, payload),
            Findings([StoredFinding("error", "odd", each) for each in ODD_FINDINGS], whole=True),
            Finish("finished", 0.0)]  # fmt: skip
    for run in ("odd", "odd2"):
        client.app.state.store.append(run, Batch(1, told))
    for route in ROUTES:
        answer = client.get(route.format("odd"))
        assert answer.status_code in (200, 404), (route, answer.text[:300])
        assert "problem" not in answer.text.partition("event: ")[2][:20]
    client.app.state.store.close()


def test_a_deeply_nested_body_is_refused(client, runs):
    json_type = {"Content-Type": "application/json"}
    answer = client.request(
        "PATCH", f"/api/v1/runs/{runs[0]}", content=b"[" * 60_000, headers=json_type
    )
    assert answer.status_code == 422


def test_a_search_goes_on_over_pages(ask, tmp_path, monkeypatch):
    monkeypatch.setattr("layerscope.app.pages.runs.listing.AT_ONCE", 2)
    client = ask(data_dir=tmp_path)
    for number in range(7):
        name = "wanted" if number % 3 == 0 else "other"
        client.app.state.store.append(f"r{number}", Batch(1, [Start(name, {}, float(number))]))
    page = client.get("/runs?q=wanted").text
    assert page.count(">wanted</a>") == 2
    older = unescape(re.search(r'href="([^"]*before=[^"]*)"', page)[1])
    assert client.get(older).text.count(">wanted</a>") == 1
    client.app.state.store.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "said"),
    [("points=1", "expected a whole number from 10"), ("rows=some", "expected one of blocks, mod")],
)
def test_a_page_with_a_bad_question_says_so(client, runs, query, said):
    answer = client.get(f"/runs/{runs[0]}?{query}")
    assert answer.status_code == 422
    assert said in unescape(answer.text)


def test_a_question_has_defaults():
    assert Question() == Question("std", (), None, None, 300)
