"""The Lab's charts without scripts: from the same numbers as everything else."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from layerscope.app.pages.lab.progress import Progress
from layerscope.engine.diagnosis.run import run
from layerscope.engine.experiment.specification import Experiment


def progress(**parameters: Any) -> Progress:
    experiment = Experiment(**parameters)
    found = Progress(experiment, "/")
    for event in run(experiment, fixes=False):
        found.take(event)
    return found


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([-\d.e]+) ([-\d.e]+)", path)]


def test_the_curves_are_at_the_numbers_of_the_records() -> None:
    known = progress(depth=6, width=16, batch=8, init="normal", init_scale=0.5)
    for still, which in zip(known.stills, ("activation", "gradient"), strict=True):
        ends = [getattr(known.records[block.after], which) for block in known.blocks]
        exponents = [math.log10(s.std) for s in ends]
        drawn = points(still.plot.curves[0].path)
        assert len(drawn) == 7
        low, high = min(exponents), max(exponents)
        top, bottom = min(y for _, y in drawn), max(y for _, y in drawn)
        for (_, y), exponent in zip(drawn, exponents, strict=True):
            assert (bottom - y) / (bottom - top) == pytest.approx(
                (exponent - low) / (high - low), abs=1e-3
            )
        assert {t.text for t in still.plot.y_ticks} <= {"1", "10"}


def test_a_layer_without_a_finite_number_leaves_a_gap() -> None:
    known = progress(depth=50, width=100, batch=4, init="normal", activation="linear")
    activations, gradients = known.stills
    assert 30 < len(points(activations.plot.curves[0].path)) < 51
    assert points(gradients.plot.curves[0].path) == []
    assert gradients.label.endswith("0 of 50 layers have one, the output has none")


def test_the_page_has_them_and_says_where_the_numbers_are(server: Any) -> None:
    text = server.client.get("/?depth=3&width=8&batch=8").text
    still = text.partition('<noscript><div class="charts">')[2] or text.partition("still-")[2]
    assert 'aria-label="Activations: ' in text
    assert 'class="curve backward" d="M' in text
    link = re.search(r'href="([^"]*)">as JSON', still)
    assert link
    answer = server.client.get(link[1].replace("&amp;", "&"))
    assert answer.json()["experiment"]["depth"] == 3
