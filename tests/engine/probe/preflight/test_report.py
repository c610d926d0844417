from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
import torch
from rich.console import Console
from torch import nn

from layerscope.engine.probe.preflight import preflight
from tests.engine.probe.preflight.networks import CE, MSE, classes, drawn, mlp, numbers

HOSTILE = '<script>alert("x")</script>[bold]&\\'


class Hostile(nn.Module):
    def __init__(self):
        super().__init__()
        inner = drawn(mlp(12), lambda w: w.normal_())
        self._modules[HOSTILE] = inner

    def forward(self, x):
        return self._modules[HOSTILE](x)


class Failing(Hostile):
    def forward(self, _):
        raise ValueError(HOSTILE)


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.addresses, self.text = set(), [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [v for n, v in attrs if n in ("src", "href") or n.startswith("on")]

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("kind", [Hostile, Failing])
def test_names_and_messages_are_escaped(kind, tmp_path):
    report = preflight(kind(), classes(), CE, fixes=False)
    report.html(tmp_path / "page.html")
    page = Tags()
    page.feed((tmp_path / "page.html").read_text("utf-8"))
    assert "script" not in page.tags
    assert page.addresses == []
    assert HOSTILE in page.text
    assert "<script" not in report._repr_html_()
    console = Console(record=True, width=1000, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(report)
    assert HOSTILE in console.export_text()
    assert HOSTILE in str(report)


def test_the_whole_is_json():
    bad = (torch.full((40, 20), torch.nan), classes(40)[1])
    for batch in (bad, classes()):
        report = preflight(drawn(mlp(12), lambda w: w.normal_()), batch, CE)
        told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
        assert told["findings"]
        assert len(told["modules"]) == len(report.records)
        assert not told["ok"]
        assert told["title"] in str(report)


def test_healthy_is_said_in_a_line():
    report = preflight(mlp(outputs=1), numbers(), MSE)
    assert str(report).startswith("Preflight: Signal and gradient hold through all 3 layers")
    assert len(report.losses) == 21
    assert report.losses[-1] < report.losses[0]
    assert report.fixes_not_tried is None


def test_why_nothing_was_tried():
    report = preflight(Failing(), classes(), CE)
    assert report.fixes_not_tried == "the forward pass fails"
    assert "No fixes were tried: the forward pass fails." in str(report)
