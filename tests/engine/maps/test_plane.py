"""The plane: which experiments, in which order, and what does not fit together."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.execution.cost import Limits, OverLimit, cost
from layerscope.engine.experiment import Experiment
from layerscope.engine.experiment.specification import MAX_SEED
from layerscope.engine.maps.axes import Axis
from layerscope.engine.maps.grid import Grid
from layerscope.engine.maps.limits import MapLimits, map_cost
from layerscope.engine.maps.outcomes import Reading
from layerscope.engine.maps.plane import Plane, coarse_to_fine
from layerscope.engine.maps.table import lines
from layerscope.engine.training import Training

X = Axis.between("init_scale", 0.5, 2, 5, "log")
Y = Axis.of("depth", [1, 2, 3])
BASE = Experiment(width=4, batch=4)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 7), (8, 8), (1, 40), (13, 2)])
def test_every_level_covers_the_plane_and_every_cell_comes_once(rows, columns):
    levels = list(coarse_to_fine(rows, columns))
    cells = [cell for level in levels for cell in level]
    assert sorted(cells) == [(r, c) for r in range(rows) for c in range(columns)]
    known = set()
    for level, following in pairwise(levels):
        known |= set(level)
        # From one level to the next no cell is farther from a known one than half as far.
        reach = max(
            min(max(abs(r - a), abs(c - b)) for a, b in known)
            for r in range(rows) for c in range(columns)
        )  # fmt: skip
        finer = known | set(following)
        assert reach >= max(
            min(max(abs(r - a), abs(c - b)) for a, b in finer)
            for r in range(rows) for c in range(columns)
        )  # fmt: skip
        assert max(r for r, _ in known) + 2 * reach >= rows - 1
        assert max(c for _, c in known) + 2 * reach >= columns - 1


def test_samples_are_the_experiments_themselves():
    plane = Plane(X, Y, BASE.model_copy(update={"seed": 7}), "loss", seeds=2)
    samples = list(plane.samples())
    assert len(samples) == plane.total == 30
    assert sorted(s.place for s in samples) == list(range(30))
    for sample in samples:
        row, column = plane.cell(sample.place)
        assert sample.experiment == BASE.model_copy(
            update={"init_scale": X.values[column], "depth": Y.values[row],
                    "seed": 7 + sample.place % 2}
        )  # fmt: skip


def test_every_sample_is_what_its_specification_reads_as():
    """None is validated as a whole: whoever computes it reads it again, and may not refuse it."""
    planes = [
        Plane(X, Axis.of("activation"), BASE, seeds=2),
        Plane(Axis.of("inputs", [3, 8]), Axis.of("residual"), BASE),
        Plane(Axis.of("learning_rate", [0, 0.1]), Axis.of("optimizer"), BASE, "trained_loss"),
        Plane(Axis.of("data", ["gaussian", "digits"]), Axis.of("dtype"), BASE),
    ]
    for sample in (s for plane in planes for s in plane.samples()):
        experiment, training, _ = json.loads(json.dumps(sample.parts()))
        assert Experiment.from_json(experiment) == sample.experiment
        assert training is None or Training.from_json(training) == sample.training


def test_the_same_map_has_one_id_and_json_brings_it_back():
    plane = Plane(X, Y, BASE, "loss")
    again = Plane.from_json(json.loads(json.dumps(plane.to_json())))
    assert again == plane
    assert again.id == plane.id
    assert Plane(X, Y, BASE, "loss", 2).id != plane.id
    keys = {s.key for s in plane.samples()}
    assert len(keys) == 15
    assert keys == {s.key for s in Plane(Y, X, BASE, "loss").samples()}


def test_axes_of_a_training_change_the_training():
    x = Axis.of("learning_rate", [0.1, 1.0])
    plane = Plane(x, Y, BASE, "trained_loss")
    assert plane.trained(0, 1).learning_rate == 1.0
    assert plane.experiment(2, 1).depth == 3
    assert Plane(X, Y, BASE, "loss", training=plane.training).training is None


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ([], "body", "JSON object"),
        ({}, "x", "expected an object"),
        ({"x": X.to_json(), "y": {"parameter": "depth", "from": 0, "to": 2}}, "y.from", "from 1"),
        ({"x": X.to_json(), "y": X.to_json()}, "y.parameter", "another parameter"),
        ({"z": 1, "x": X.to_json(), "y": Y.to_json()}, "z", "unknown"),
        ({"x": X.to_json(), "y": Y.to_json(), "base": {"depth": 0}}, "base.depth", "whole number"),
        ({"x": X.to_json(), "y": Y.to_json(), "base": 3}, "base", "JSON object"),
        ({"x": X.to_json(), "y": Y.to_json(), "training": {"steps": 0}}, "training.steps", "1 to"),
        ({"x": X.to_json(), "y": Y.to_json(), "outcome": "beauty"}, "outcome", "expected one of"),
        ({"x": X.to_json(), "y": Y.to_json(), "outcome": 1}, "outcome", "expected one of"),
        ({"x": X.to_json(), "y": Y.to_json(), "seeds": 0}, "seeds", "1 to 100"),
        ({"x": X.to_json(), "y": Y.to_json(), "seeds": 1.5}, "seeds", "1 to 100"),
        ({"x": X.to_json(), "y": Y.to_json(), "seeds": True}, "seeds", "1 to 100"),
        ({"x": {"parameter": "seed", "values": [1, 2]}, "y": Y.to_json(), "seeds": 2}, "seeds",
         "expected 1"),
        ({"x": X.to_json(), "y": Y.to_json(), "seeds": 2, "base": {"seed": MAX_SEED}}, "base.seed",
         "at most"),
        ({"x": X.to_json(), "y": Y.to_json(), "seeds": 10**400}, "seeds", "1 to 100"),
        ({"x": {"parameter": "steps", "values": [1, 2]}, "y": Y.to_json()}, "outcome",
         "trained_loss"),
    ],
)  # fmt: skip
def test_refusals_name_the_field(body, field, said):
    with pytest.raises(InvalidParameters) as refused:
        Plane.from_json(body)
    error = refused.value.errors[0]
    assert error["field"] == field
    assert said in error["message"]


@pytest.mark.parametrize(
    ("plane", "field", "said"),
    [
        (Plane(Axis.of("inputs", [8, 64]), Y, Experiment(data="digits", loss="cross_entropy")),
         "base.inputs", "at inputs 8, depth 1"),
        (Plane(Axis.of("loss", ["mse", "cross_entropy"]), Y, Experiment(data="digits"),
               "accuracy"), "outcome", "at loss mse, depth 1"),
        (Plane(Axis.of("steps", [5, 50]), Y, BASE, "trained_loss",
               training=Training(warm_up=20)), "training.warm_up", "at steps 5, depth 1"),
    ],
)  # fmt: skip
def test_cells_that_do_not_fit_together_are_named(plane, field, said):
    with pytest.raises(InvalidParameters) as refused:
        list(plane.samples())
    assert refused.value.errors[0]["field"] == field
    assert said in refused.value.errors[0]["message"]


def test_costs_add_up_and_limits_tell_what_is_over():
    plane = Plane(X, Y, BASE, "loss", seeds=2)
    samples = list(plane.samples())
    each = [cost(plane.experiment(row, 0)) for row in range(3)]
    needed = map_cost(samples)
    assert needed.flops == 10 * sum(c.flops for c in each)
    assert needed.bytes == max(c.bytes for c in each)
    assert MapLimits().check(samples) == needed
    assert MapLimits(cells=30).count(plane) is plane
    with pytest.raises(OverLimit, match=r"this map needs 30 experiments, 1\.03 times the limit"):
        MapLimits(cells=29).count(plane)
    with pytest.raises(OverLimit, match=r"this map needs .* floating point operations"):
        MapLimits(flops=needed.flops / 2).check(samples)
    with pytest.raises(OverLimit, match="this experiment needs"):
        MapLimits(cell=Limits(flops=each[1].flops)).check(samples)


@pytest.mark.parametrize(
    ("numbers", "mean", "spread"),
    [
        ([1.5e308, 1.6e308, 1.7e308], 1.6e308, 1e307),
        ([1.7e308, -1.7e308], 0.0, None),
        ([1e200, 3e200], 2e200, 2**0.5 * 1e200),
        ([1e-200, 3e-200], 2e-200, 2**0.5 * 1e-200),
        ([0.1, 0.1, 0.1], 0.1, 0.0),
    ],
)
def test_means_and_spreads_are_those_of_any_numbers(numbers, mean, spread):
    grid = Grid(Plane(X, Y, BASE, "loss", seeds=len(numbers)))
    for i, number in enumerate(numbers):
        grid.add(i, Reading(number))
    cell = grid.cell(0, 0)
    assert cell.number == pytest.approx(mean, rel=1e-14)
    assert cell.spread == (None if spread is None else pytest.approx(spread, rel=1e-12))


def test_cells_are_means_of_their_seeds():
    grid = Grid(Plane(X, Y, BASE, "loss", seeds=3))
    assert [grid.add(i, Reading(float(i))) for i in range(3)] == [None, None, (0, 0)]
    cell = grid.cell(0, 0)
    assert (cell.number, cell.spread) == (1.0, 1.0)
    for i in range(3, 6):
        grid.add(i, Reading(None, "nan") if i == 4 else Reading(2.0, "rule"))
    assert grid.cell(0, 1).text == "nan (1 of 3 seeds)"
    assert grid.cell(0, 1).number is None
    assert grid.cell(0, 1).spread is None
    values = grid.values()
    assert values.shape == (3, 5)
    assert values[0, 0] == 1.0
    assert grid.spread()[0, 0] == 1.0
    table = list(lines(grid))
    assert table[1] == "0.5,1,1.0,1.0,\n"
    assert len(table) == 3
