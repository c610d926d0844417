"""What the Lab says of findings and fixes: each once, in order, and only what was tried."""

from __future__ import annotations

import html
import re
import types
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from layerscope.app.figures.evidence import Measured, evidence_rows
from layerscope.app.pages.lab.findings import finding_words
from layerscope.app.pages.lab.fixes import fix_link
from layerscope.app.pages.lab.links import Elsewhere
from layerscope.app.pages.lab.progress import Progress
from layerscope.app.pages.lab.stream import messages
from layerscope.app.results import EVERYTHING, events
from layerscope.engine.basis.cancellation import never
from layerscope.engine.diagnosis import RULES
from layerscope.engine.diagnosis.run import FixEvent, Summary, run
from layerscope.engine.experiment.specification import Experiment
from tests.lab_page import Elements, fetch

NAN = Experiment(init="normal", activation="linear")


@pytest.mark.slow
def test_a_verified_fix_stands_on_the_page_as_a_link(server: Any) -> None:
    query = "init=normal&activation=linear"
    whole = fetch(server, query).text.partition("<noscript><section")[0]
    last = whole.rpartition("<hx-partial")[2]  # sent again as more is known
    links = [a for tag, a in Elements(last).tags if "data-fix" in a]
    (found,) = {a["href"] for a in links}  # beside the verdict, and at its finding
    assert len(links) == 2
    assert found
    address, _, pin = found.partition("#pin=")
    assert httpx.QueryParams(unquote(pin)) == httpx.QueryParams(query)
    api = server.client.get(f"/api/v1/experiment?{query}").json()["findings"][0]
    assert api["fix_verified"] is True
    change = list(httpx.URL(address).params.multi_items())
    assert Experiment.from_strings(change) == Experiment.from_json({**NAN.to_dict(), **api["fix"]})
    assert "Signal and gradient hold" in server.client.get(address).text


def test_a_healthy_network_is_offered_nothing(server: Any) -> None:
    text = fetch(server).text
    assert "data-fix" not in text
    assert "no small change was found" not in text


def test_a_fix_is_marked_only_when_verified() -> None:
    fix = next(e for e in run(NAN) if isinstance(e, FixEvent)).to_dict()
    link = fix_link(NAN, fix, "/")
    assert link.label == "Try init scale 0.1 ✓"
    assert link.href.startswith("/?init_scale=0.1&")
    assert "other" not in link.title
    assert "after 2 others that did not help" in fix_link(NAN, {**fix, "tried": 3}, "/").title
    assert fix_link(NAN, {**fix, "fix_verified": False}, "/").label == "Try init scale 0.1"
    assert link.before.fault is not None  # NaN
    assert link.after.fault is None
    assert link.after.forward.path.startswith("M1 9L")  # the std is 1 from the first layer on


ADAM_ALONE = "depth=5&width=32&batch=32&init_scale=0.1"


@pytest.mark.parametrize("patience", [0.0, 60.0], ids=["late", "in time"])
def test_a_trial_changes_badge_and_verdict(
    server: Any, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr("layerscope.app.pages.lab.cold.PATIENCE_SECONDS", patience)
    api = server.client.get(f"/api/v1/experiment?{ADAM_ALONE}").json()
    told = api["trial"]["text"]
    assert api["findings"][0]["severity"] == api["verdict"]["severity"] == "warning"
    text = html.unescape(fetch(server, ADAM_ALONE).text)
    quick = text.index('<section class="verdict severity-error" id="verdict"')
    swapped = text.rindex('<section class="verdict severity-warning" id="verdict"')
    assert quick < swapped  # what scripts put into the place of the first
    last = text[swapped:].partition("</section>")[0]
    assert "severity-error" not in last
    assert f"<p>{told} " in last
    plain = " ".join(re.findall(r"<noscript>(.*?)</noscript>", text, re.DOTALL))  # no scripts
    assert told in plain
    assert "severity-warning" in plain


def trying(experiment: Experiment) -> dict[str, bool]:
    """By the last event of each kind since the verdict: whether the page says that it is tried."""
    progress, found = Progress(experiment, "/"), {}
    for event in events(experiment, EVERYTHING, never):
        progress.take(event)
        if progress.summary:
            found[event.event] = progress.verdict.trying
    progress.ended = True
    return {**found, "end": progress.verdict.trying}


def test_while_it_is_tried_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    query = Experiment(depth=5, width=32, batch=32, init_scale=0.1)
    tried = {"summary": False, "check": True, "fix": True, "trial": False, "end": False}
    assert trying(query) == tried
    assert not any(trying(NAN).values())  # an error of another kind stands whatever it learns
    assert not any(trying(Experiment(depth=5, width=32, batch=32)).values())
    monkeypatch.setattr("layerscope.engine.diagnosis.run.try_experiment", lambda *_: None)
    del tried["trial"]
    assert trying(query) == tried


@pytest.mark.parametrize("comes", [True, False])
def test_what_the_stream_says_last_is_that_nothing_is_tried_any_more(
    monkeypatch: pytest.MonkeyPatch, comes: bool
) -> None:
    if not comes:
        monkeypatch.setattr("layerscope.engine.diagnosis.run.try_experiment", lambda *_: None)
    experiment = Experiment(depth=5, width=32, batch=32, init_scale=0.1)
    elsewhere = Elsewhere("", (), "/why/diagnosis")
    look = types.SimpleNamespace(fragment=lambda *_: "")
    progress = Progress(experiment, "/")
    sent = messages(progress, elsewhere, EVERYTHING, look, never)
    said = [text for name, text in sent if not name and 'id="verdict"' in text]
    assert ["Training it for a few steps" in text for text in said[:2]] == [False, True]
    assert "Training it for a few steps" not in said[-1]


def test_causes_stand_above_their_consequences(server: Any) -> None:
    summary = next(e for e in run(NAN, fixes=False) if isinstance(e, Summary)).to_dict()
    words = [finding_words(f) for f in summary["findings"]]
    assert [w.rule for w in words] == ["nonfinite"]
    assert "exploding_activation" in {c.rule for c in words[0].consequences}
    assert (words[0].block, words[0].row, words[0].layers) == (38, 37, "layers 38 to 51")
    text = fetch(server, "init=normal&activation=linear").text
    details = re.search(r'<details class="findings">.*?</details>', text, re.DOTALL)
    assert details
    cause, consequence = details[0].split("and in consequence")
    assert "nonfinite" in cause
    assert "exploding_activation" in consequence


def test_every_rule_of_a_finding_is_explained_where_its_link_leads(server: Any) -> None:
    text = fetch(server, "init=normal&activation=linear").text
    links = set(re.findall(r'href="([^"]+)#rule-(\w+)"', text))
    assert {"nonfinite", "exploding_activation"} <= {rule for _, rule in links} <= set(RULES)
    for path, rule in links:
        assert f'id="rule-{rule}"' in server.client.get(path).text


def test_a_finding_begins_where_its_signal_meets_it() -> None:
    found = {
        "severity": "error", "title": "t", "explanation": "e", "rule": "dead_units",
        "direction": "backward", "layers": [0, 9], "blocks": [1, 5], "evidence": {},
        "threshold": {}, "consequences": [],
    }  # fmt: skip
    words = finding_words(found)
    assert (words.block, words.row, words.chart) == (5, 9, "silent")
    words = finding_words({**found, "direction": "forward", "blocks": [3, 3]})
    assert (words.block, words.row, words.layers) == (3, 0, "layer 3")
    words = finding_words({**found, "rule": "one that came later"})
    assert words.chart == "gradients"


def test_every_figure_and_every_limit_is_shown_once() -> None:
    evidence = {"decades": -6.0667, "depth": 50, "phase": "chaotic", "chi1": None, "big": 3.4e38}
    threshold = {"warning_decades": 2.0, "error_decades_grow": 3.0, "dtype_max": 65504.0}
    assert evidence_rows(evidence, threshold) == [
        Measured("decades", "−6.07", "warning 2, error grow 3"),
        Measured("depth", "50", ""),
        Measured("phase", "chaotic", ""),
        Measured("big", "3.40×10³⁸", ""),
        Measured("dtype max", "", "65504"),
    ]


def test_what_could_not_be_judged_is_said(server: Any) -> None:
    query = "batch=1&depth=9"
    text = html.unescape(re.sub(r"<[^>]+>", "", fetch(server, query).text))
    undecided = server.client.get(f"/api/v1/experiment?{query}").json()["undecided"]
    assert undecided
    for entry in undecided:
        assert f"{entry['rule']} ({entry['reason']})" in text
