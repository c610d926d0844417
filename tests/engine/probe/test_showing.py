"""A probe in a notebook: what was found, a picture, a table; nothing from elsewhere."""

from __future__ import annotations

import math
import re
import warnings
from xml.etree import ElementTree as ET

import pytest
import torch
from torch import nn

import layerscope
from layerscope.engine.probe.showing import MOST_COLUMNS, MOST_ROWS, NOT_FINITE, training_markup
from layerscope.engine.probe.sinks import Nowhere, Several, sink_for


@pytest.fixture
def trained():
    """A probe over so many steps of a small network, and what a notebook shows of it."""

    def run(model, steps, rate=0.01, break_at=None):
        torch.manual_seed(0)
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        x = torch.randn(16, 4)
        with layerscope.watch(model, optimizer, to=":memory:", every=1) as probe:
            for step in range(steps):
                if step == break_at:
                    with torch.no_grad():
                        next(model.parameters())[0, 0] = math.nan
                loss = (model(x) - x[:, :1]).square().mean()
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                probe.step(loss)
        return probe._repr_html_()

    return run


def colours(html):
    return re.findall(r'<rect [^>]*fill="(#\w+)"', html)


def parsed(html):
    """Well-formed, and without anything that a page would fetch or run."""
    root = ET.fromstring(html)  # noqa: S314 - our own
    assert not [e for e in root.iter() if e.tag in ("script", "img", "link", "iframe", "a")]
    assert not re.search(r"https?:|url\(|@import|\bon\w+=", html)
    return root


def net():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))


def test_every_module_has_a_row_over_the_steps(trained):
    html = trained(net(), 12)
    root = parsed(html)
    assert "Sequential: finished at step 12" in root.findtext("h2")
    names = [t.text for t in root.iter("title")]
    assert names == ["0", "1", "2"]
    assert len(list(root.iter("tr"))) == 1 + 3
    assert NOT_FINITE not in colours(html)
    tops = {r.get("y") for r in root.iter("rect")}
    assert len(tops) == 3
    wide = [sum(float(r.get("width")) for r in root.iter("rect") if r.get("y") == y) for y in tops]
    assert wide == pytest.approx([wide[0]] * 3, abs=1.0)


def test_what_is_not_finite_is_red_and_found(trained):
    html = trained(net(), 12, break_at=6)
    root = parsed(html)
    assert NOT_FINITE in colours(html)
    assert 'class="error"' in html
    assert re.search("since step [67]", " ".join(root.itertext()))


def test_a_name_is_text(trained):
    model = net()
    model.add_module("<script>alert(1)</script>&amp;", nn.Linear(1, 1))
    parsed(trained(model, 3))


def test_before_any_step_it_says_so():
    assert "No step has been recorded yet" in training_markup("net", [], [], [], [])


@pytest.mark.slow
def test_many_modules_and_steps_share_a_cell(trained):
    deep = nn.Sequential(*[nn.Linear(4, 4) for _ in range(MOST_ROWS + 5)], nn.Linear(4, 1))
    html = trained(deep, MOST_COLUMNS + 12, break_at=MOST_COLUMNS)
    root = parsed(html)
    tops = {r.get("y") for r in root.iter("rect")}
    assert len(tops) <= MOST_ROWS
    assert "0 and 1 more" in [t.text for t in root.iter("title")]
    assert NOT_FINITE in colours(html)  # of whatever shares a cell, what is not finite is shown
    assert len(html) < 400_000


def test_it_waits_for_what_is_being_written():
    """Asked while the training goes on, of a step that has just ended."""
    deep = nn.Sequential(*[nn.Linear(4, 4) for _ in range(20)])
    optimizer = torch.optim.SGD(deep.parameters(), 0.01)
    with layerscope.watch(deep, optimizer, to=":memory:", every=1) as probe:
        deep(torch.ones(2, 4)).sum().backward()
        optimizer.step()
        probe.step()
        html = probe._repr_html_()
    assert "running at step 1" in html
    assert "No step" not in html


def test_where_a_server_keeps_the_run_its_page_is_shown_above():
    html = training_markup("net", [], [], [], [], 'http://host:8000/runs/a"b')
    root = ET.fromstring(html)  # noqa: S314 - our own
    (frame,) = root.iter("iframe")
    assert frame.get("src") == next(root.iter("a")).get("href") == 'http://host:8000/runs/a"b'
    assert html.index("<iframe") < html.index("No rule has found anything")
    assert not [e for e in root.iter() if e.tag in ("script", "img", "link")]


@pytest.mark.parametrize("token", ["", "?token=secret"])
def test_it_is_the_server_that_was_written_to(token, tmp_path, monkeypatch):
    monkeypatch.setenv("LAYERSCOPE_DATA_DIR", str(tmp_path))
    writer = sink_for(f"http://127.0.0.1:9/below/{token}", None, None)
    assert writer.page == f"http://127.0.0.1:9/below/runs/{writer.id}"
    assert Several(writer, [Nowhere()], lambda kind, words: None).page == writer.page
    assert sink_for(":memory:", None, None).page is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nobody is there
        writer.finish("stopped")
