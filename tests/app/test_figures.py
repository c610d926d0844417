"""Forms of charts, cells, sketches and numbers: what the browser is given to draw with."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from layerscope.app.figures.checkpoint import checkpoint_page
from layerscope.app.figures.lab import lab_figures
from layerscope.app.figures.pixels import INF, LEVELS, NAN, ZERO, pixels
from layerscope.app.figures.sketch import sketch
from layerscope.app.figures.strip import STEPS, cell, cell_css, step
from layerscope.app.figures.text import number
from layerscope.engine.statistics import Statistics, statistics
from layerscope.engine.store.checkpoints.inspection import TensorReport, totals

CSS = Path(__file__).resolve().parents[2] / "static" / "css"


TABLE = Path(__file__).resolve().parents[1] / "js" / "numbers.json"


@pytest.mark.parametrize(("value", "text"), orjson.loads(TABLE.read_bytes()))
def test_a_number_reads_as_it_does_in_the_browser(value: float | None, text: str):
    """``tests/js/format.test.mjs`` holds the browser's formatting against the same table."""
    assert number(value) == text


def of(*values: float, dtype: torch.dtype = torch.float32) -> Statistics:
    return statistics(torch.tensor(values, dtype=dtype))


@pytest.mark.parametrize(
    ("tensor", "css", "words"),
    [
        (of(1.0, -1.0, 1.0, -1.0), "q16", "std 1.15, mean 0"),
        (of(3e30, -3e30), "q32", "std 4.24×10³⁰, mean 0"),
        (of(0.0, -0.0), "s-zero", "all zero"),
        (of(1.0, float("inf")), "s-inf", "std –, mean 1.00, 1 Inf"),
        (of(float("-inf"), float("inf")), "s-inf", "all Inf"),
        (of(float("nan"), float("inf"), 1.0), "s-nan", "std –, mean 1.00, 1 NaN, 1 Inf"),
        (of(float("nan"), float("nan")), "s-nan", "all NaN"),
        (of(2.0, 2.0), "q17", "std 0, mean 2.00"),  # all alike: the rms colours it
        (of(1e-40, -1e-40), "q0 s-tiny", "std 1.41×10⁻⁴⁰, mean 0"),
        (of(0.0, 0.0, 0.0, 1e-40), "q0 s-tiny", "std 5.00×10⁻⁴¹, mean 2.50×10⁻⁴¹"),
    ],
)
def test_a_cell_shows_the_worst_and_says_the_rest(tensor: Statistics, css: str, words: str) -> None:
    shown = cell("relu1", tensor)
    assert shown.css == css
    assert shown.text == f"relu1: {words}"


def test_every_class_of_a_cell_has_a_rule() -> None:
    css = (CSS / "magnitude.css").read_text()
    for i in range(STEPS):
        assert len(re.findall(rf"^\.q{i} {{", css, re.MULTILINE)) == 1
    for state in ("nan", "inf", "zero", "tiny", "none"):
        assert f".s-{state} " in css


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_steps_are_half_decades_around_one(value: float) -> None:
    colour = step(value)
    assert 0 <= colour < STEPS
    if 1e-8 < value < 1e8:
        low, high = 10 ** ((colour - 16.5) / 2), 10 ** ((colour - 15.5) / 2)
        assert low * (1 - 1e-12) <= value <= high * (1 + 1e-12)


def test_a_sketch_stops_where_the_signal_does() -> None:
    rising = [of(-(10.0**i), 10.0**i) for i in range(5)]
    assert sketch(rising).fault is None
    broken = sketch([*rising, of(float("inf"), 1.0)])
    assert broken.fault == 39.0
    assert broken.path.count("L") == 4
    assert sketch([of(float("nan"))]).path == ""


def test_a_vanished_signal_lies_on_the_floor() -> None:
    assert sketch([of(0.0, 0.0)] * 2).path == "M1 16L39 16"


def _tokens(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*(_tokens(v) for v in value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*(_tokens(v) for v in value)) if value else set()
    if not isinstance(value, str):
        return set()
    return set(re.findall(r"--[a-z0-9-]+", value))


def test_charts_take_their_colours_from_the_tokens() -> None:
    figures = lab_figures()
    css = (CSS / "tokens.css").read_text()
    missing = {name for name in _tokens(figures) if f"{name}:" not in css}
    assert missing == set()
    written = orjson.dumps(figures).decode()
    assert re.findall(r"#[0-9a-f]{3,8}\b", written) == []


def test_figures_know_every_dtype() -> None:
    figures = lab_figures()
    assert figures["formats"]["float16"] == {
        "name": "float16",
        "max": 65504.0,
        "tiny": 2.0**-14,
    }


def test_numbers_keep_three_digits_and_their_sign() -> None:
    assert number(-0.0123456) == "−0.0123"
    assert number(99999.4) == "99999"
    assert number(1e-45) == "1.00×10⁻⁴⁵"
    assert number(-12345678.0) == "−1.23×10⁷"


@pytest.mark.parametrize(
    ("exponents", "words"),
    [
        ([-149, -140, 0, 127], ["1 from 2^-149", "1 from 2^-140", "1 from 2^0", "1 from 2^127"]),
        ([-1000, -150, 0], ["2 below 2^-149", "1 from 2^0"]),
        ([0, 127, 128, 900], ["1 from 2^0", "1 from 2^127", "2 from 2^128 on"]),
    ],
)
def test_a_checkpoints_picture_leaves_no_entry_out(exponents: list[int], words: list[str]):
    tensor = torch.tensor([2.0**e for e in exponents], dtype=torch.float64)
    shape = tuple(tensor.shape)
    report = TensorReport("w", "float64", shape, tensor.nbytes, statistics(tensor), None, {})
    page = checkpoint_page("w.npz", [report], totals([report]))
    marks = re.findall(r'<rect class="s\d" x="(\d+)" .*?<title>(.*?)</title>', page)
    assert [text for _, text in marks] == words
    width = int(re.search(r'viewBox="0 0 (\d+) 4".*?Magnitudes', page)[1])
    assert all(0 <= int(x) < width for x, _ in marks)


def test_a_picture_hides_neither_what_is_not_finite_nor_what_is_small() -> None:
    x = torch.full((300, 2), 1e-12)
    x[7, 0], x[150, 0], x[150, 1], x[299, 1] = float("nan"), float("-inf"), float("nan"), 5.0
    shown = pixels(x)
    cells = np.frombuffer(base64.b64decode(shown.cells), np.uint8).reshape(shown.rows, 2)
    assert shown.rows == 128
    assert (cells == NAN).sum() == 2
    assert (cells == INF).sum() == 1
    assert cells.max() == ZERO + LEVELS
    rest = cells[(cells != NAN) & (cells != INF) & (cells != ZERO + LEVELS)]
    assert (rest == ZERO + 1).all()  # far below a level, and still not the colour of zero


def test_a_gradient_is_coloured_against_the_last_layers_own() -> None:
    small = statistics(torch.tensor([1e-3, -1e-3]))
    assert cell_css(small, 1e-3) == cell_css(statistics(torch.tensor([1.0, -1.0])))
    assert cell_css(small) != cell_css(small, 1e-3)
