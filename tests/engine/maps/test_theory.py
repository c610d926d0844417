"""Theory's lines lie where theory says, on whatever axes a map has."""

from __future__ import annotations

import math

import pytest

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.experiment import Experiment
from layerscope.engine.maps.axes import Axis
from layerscope.engine.maps.plane import Plane
from layerscope.engine.maps.theory import LINES, theory_lines
from layerscope.engine.theory.critical import critical_point
from layerscope.engine.theory.meanfield import fixed_point

TANH = Experiment(activation="tanh", init="lecun_normal", bias_std=math.sqrt(0.05))
SQUARE = Axis.between("init_scale", 1.0, 2.0, 16, "square")
DEPTH = Axis.between("depth", 5, 105, 11)


def lines(x, y, base):
    found = theory_lines(Plane(x, y, base))
    return {each["name"]: each["paths"] for each in found["lines"]}, found["reason"]


def test_the_edge_is_the_critical_point():
    found, _ = lines(SQUARE, DEPTH, TANH)
    at = SQUARE.place(math.sqrt(critical_point("tanh", 0.05).sigma_w2))
    (path,) = found["edge"]
    assert [x for x, _ in path] == pytest.approx([at] * len(path), abs=0.05)
    assert {y for _, y in path} >= {0.0, 10.0}


def test_six_correlation_lengths_is_where_depth_is():
    found, _ = lines(SQUARE, DEPTH, TANH)
    points = [point for path in found["trainable"] for point in path]
    assert len(points) > 10
    for x, y in points:
        reach = fixed_point("tanh", SQUARE.at(x) ** 2, 0.05).trainable_depth
        assert DEPTH.at(y) == pytest.approx(reach, rel=0.2)


def test_the_forecast_of_overflow_is_randn_times_ten_a_layer():
    x = Axis.between("init_scale", 0.5, 2, 9, "log")
    found, _ = lines(x, DEPTH, Experiment(activation="linear", init="normal"))
    for x_at, y_at in (point for path in found["overflow"] for point in path):
        blocks = 38 / math.log10(10 * x.at(x_at))  # float32 ends at 10^38.5
        assert DEPTH.at(y_at) == pytest.approx(blocks, rel=0.12)


def test_a_category_has_its_own_crossing():
    x = Axis.of("activation", ["linear", "relu"])
    y = Axis.between("init_scale", 0.5, 2, 16, "square")
    base = Experiment(init="lecun_normal")
    found, _ = lines(x, y, base)
    low, high = (pytest.approx(y.place(2**power), abs=0.02) for power in (0, 0.5))
    assert found["edge"] == [[[-0.5, low], [0.5, low]], [[0.5, high], [1.5, high]]]
    turned, _ = lines(y, x, base)
    assert turned["edge"] == [[[b, a] for a, b in path] for path in found["edge"]]


@pytest.mark.parametrize(
    ("x", "y", "base", "said"),
    [
        (SQUARE, DEPTH, Experiment(norm="layer", activation="tanh"), "runs through"),
        (SQUARE, DEPTH, Experiment(init="identity", norm="layer"), "no theory for this setting"),
        (Axis.of("init"), Axis.of("dtype"), TANH, "no axis is a number"),
        (Axis.of("init_scale", [1.0]), Axis.of("depth", [3]), TANH, "runs through"),
        (Axis.between("learning_rate", 0.1, 1, 3), Axis.of("width", [8]), TANH, "runs through"),
    ],
)
def test_where_there_is_none_it_says_why(x, y, base, said):
    outcome = "trained_loss" if x.parameter == "learning_rate" else "last_std"
    found = theory_lines(Plane(x, y, base, outcome))
    assert found["lines"] == []
    assert said in found["reason"]


def test_it_can_be_stopped():
    with pytest.raises(Stopped):
        theory_lines(Plane(SQUARE, DEPTH, TANH), lambda: True)


@pytest.mark.parametrize("name", LINES)
def test_every_line_describes_itself(name):
    line = LINES[name]
    assert all((line.title, line.formula, line.source, line.help))
