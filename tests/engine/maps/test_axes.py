"""Axes: values along any parameter, and every refusal with the value and what was expected."""

from __future__ import annotations

import math

import numpy as np
import pytest

from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.basis.specification import bounds, takes_fractions, written
from layerscope.engine.experiment import Experiment
from layerscope.engine.layers import ACTIVATIONS
from layerscope.engine.maps.axes import SCALES, Axis, is_number, parameters, value_of


def refusal(body):
    with pytest.raises(InvalidParameters) as refused:
        Axis.from_json(body)
    (error,) = refused.value.errors
    return error["field"], error["message"]


@pytest.mark.parametrize("name", [n for n, f in Experiment.model_fields.items() if not written(f)])
def test_every_parameter_of_an_experiment_is_an_axis(name):
    if is_number(name):
        axis = Axis.from_json({"parameter": name, "from": 1, "to": 3, "steps": 3})
        assert axis.values == (1, 2, 3)
    else:
        axis = Axis.from_json({"parameter": name})
        assert len(axis) >= 2
    assert Axis.from_json(axis.to_json()) == axis
    # Only some activations have a parameter.
    base = {"activation": "leaky_relu"} if name == "alpha" else {}
    Experiment.from_json({**base, name: axis.values[0]})


@pytest.mark.parametrize(
    "name", [n for n, f in Experiment.model_fields.items() if takes_fractions(f)]
)
def test_a_number_that_need_not_be_whole_is_an_axis_of_fractions(name):
    axis = Axis.from_json({"parameter": name, "from": 0.25, "to": 0.75, "steps": 3})
    assert axis.values == (0.25, 0.5, 0.75)
    assert [type(value) for value in Axis.of(name, [1, 2]).values] == [float, float]


@pytest.mark.parametrize("values", [{}, {"values": ["30,1"]}, {"from": 1, "to": 2}])
def test_what_is_text_is_no_axis(values):
    field, message = refusal({"parameter": "layer_gains", **values})
    assert (field, message) == refusal({"parameter": "nothing", **values})
    assert message.startswith("expected one of: init_scale, depth")
    assert "layer_gains" not in message
    with pytest.raises(InvalidParameters):
        value_of("layer_gains", "30,1")


def test_all_options_are_the_registrys():
    assert Axis.of("activation").values == tuple(ACTIVATIONS)
    assert Axis.of("residual").values == (False, True)
    assert {"learning_rate", "optimizer", "steps"} < set(parameters())


@pytest.mark.parametrize("scale", SCALES)
def test_values_are_even_in_their_scale_and_short(scale):
    axis = Axis.between("init_scale", 0.5, 8, 9, scale)
    at = [SCALES[scale].forward(v) for v in axis.values]
    steps = np.diff(at)
    assert steps == pytest.approx(np.full(8, steps[0]), rel=1e-4)
    assert (axis.values[0], axis.values[-1]) == (0.5, 8)
    assert all(len(f"{v!r}") <= 8 for v in axis.values)
    for i, value in enumerate(axis.values):
        assert axis.place(value) == pytest.approx(i, abs=1e-6)


@pytest.mark.parametrize("width", [1e-4, 1e-7, 1e-12])
def test_values_near_one_another_have_the_digits_that_tell_them_apart(width):
    values = Axis.between("init_scale", 1, 1 + width, 15, "log").values
    assert len(set(values)) == 15
    assert list(values) == sorted(values)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("parameter", [p for p in parameters() if is_number(p)])
def test_whatever_values_an_axis_takes_lie_on_its_scale(parameter, scale):
    """Ends included: theory and zooming ask for places on it."""
    model = parameters()[parameter]
    ends = bounds(model.model_fields[parameter])
    listed = [v for v in (*ends, sum(ends) // 2 or 0.5) if SCALES[scale].takes(v)]
    for value in {*ends} - {*listed}:
        with pytest.raises(InvalidParameters, match=f"for a {scale} scale"):
            Axis.of(parameter, [value], scale)
    axis = Axis.of(parameter, list(dict.fromkeys(listed)), scale)
    for i, value in enumerate(axis.values):
        assert axis.at(i) == pytest.approx(value, rel=1e-6)


def test_typed_values_are_the_parameters_own():
    typed = [value_of("depth", "3"), value_of("residual", "on"), value_of("loss", "cross_entropy")]
    assert typed == [3, True, "cross_entropy"]
    for parameter, text in (("depth", "3.5"), ("depth", "1e400"), ("depth", "x"), ("dtype", "1")):
        with pytest.raises(InvalidParameters, match="values: expected"):
            Axis.of(parameter, [value_of(parameter, text)])
    with pytest.raises(InvalidParameters, match="parameter: expected one of"):
        value_of("colour", "1")


def test_whole_numbers_are_rounded_and_never_twice():
    assert Axis.between("depth", 1, 10, 7, "log").values == (1, 2, 3, 5, 7, 10)
    assert Axis.between("depth", 1, 3, 30).values == (1, 2, 3)


def test_ends_may_run_downwards():
    axis = Axis.between("depth", 30, 10, 3)
    assert axis.values == (30, 20, 10)
    assert axis.place(25) == 0.5


def test_a_place_lies_beyond_the_ends_too():
    axis = Axis.between("init_scale", 1, 100, 3, "log")
    assert axis.place(1000) == pytest.approx(3)
    assert axis.place(0.1) == pytest.approx(-1)
    assert Axis.of("depth", [5]).place(7) == 0


def test_numbers_of_numpy_are_taken():
    assert Axis.of("init_scale", list(np.array([0.5, 1.0]))).values == (0.5, 1.0)


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (None, "", "expected an object"),
        ({"parameter": "colour"}, "parameter", "expected one of: init_scale"),
        ({"parameter": ["depth"]}, "parameter", "expected one of"),
        ({"parameter": "depth"}, "from", "expected a number"),
        ({"parameter": "depth", "from": 0, "to": 5}, "from", "expected a whole number from 1"),
        ({"parameter": "depth", "from": 1, "to": 5000}, "to", "to 1000"),
        ({"parameter": "depth", "from": 1, "to": 5, "steps": 0}, "steps", "from 1 to 200"),
        ({"parameter": "depth", "values": [1, 2], "steps": 2}, "steps", "beside the values"),
        ({"parameter": "init", "from": 1, "to": 2}, "from", "nothing beside a choice"),
        ({"parameter": "depth", "from": 1, "to": 5, "steps": True}, "steps", "whole number"),
        ({"parameter": "depth", "from": 1, "to": 1, "steps": 3}, "to", "another value than from"),
        ({"parameter": "init_scale", "from": 0, "to": 1, "scale": "log"}, "from", "above 0"),
        ({"parameter": "depth", "from": 0, "to": 9, "scale": "log"}, "from", "from 1 to 1000"),
        ({"parameter": "bias_std", "from": -1, "to": 1, "scale": "square"}, "from", "from 0 to"),
        ({"parameter": "init_scale", "from": 1, "to": 1 + 4e-16, "steps": 9}, "steps", "once"),
        ({"parameter": "depth", "from": 1, "to": 10**400}, "to", "expected a whole number"),
        ({"parameter": "init_scale", "from": -(10**400), "to": 1}, "from", "expected a number"),
        ({"parameter": "init_scale", "values": [10**400]}, "values", "expected a number"),
        ({"parameter": "depth", "from": 1, "to": 2, "steps": 10**400}, "steps", "whole number"),
        ({"parameter": "bias_std", "values": [-0.0, 1]}, "values", "from 0 to 100"),
        ({"parameter": "bias_std", "values": [0, 1], "scale": "log"}, "values", "above 0"),
        ({"parameter": "bias_std", "values": [1, 2], "scale": "cubic"}, "scale", "linear"),
        ({"parameter": "init_scale", "from": 1, "to": 2, "scale": "cubic"}, "scale", "linear"),
        ({"parameter": "init_scale", "from": 1, "to": 2, "scale": 3}, "scale", "linear"),
        ({"parameter": "init_scale", "from": math.inf, "to": 2}, "from", "expected a number"),
        ({"parameter": "activation", "values": ["relu", "rely"]}, "values", "expected one of"),
        ({"parameter": "activation", "values": []}, "values", "1 to 200 values, got 0"),
        ({"parameter": "activation", "values": "relu"}, "values", "expected a list"),
        ({"parameter": "activation", "values": ["relu", "relu"]}, "values", "each value once"),
        ({"parameter": "residual", "values": [1]}, "values", "true or false"),
        ({"parameter": "depth", "values": [1.5]}, "values", "a whole number"),
        ({"parameter": "depth", "values": [{}]}, "values", "a whole number"),
        ({"parameter": "depth", "values": [True]}, "values", "a whole number"),
        ({"parameter": "depth", "between": 1}, "between", "unknown"),
    ],
)
def test_refusals_name_the_part(body, field, said):
    found = refusal(body)
    assert found[0] == field, found
    assert said in found[1]


def test_numbers_without_values_and_words_with_ends_are_refused():
    with pytest.raises(InvalidParameters, match="expected its values"):
        Axis.of("depth")
    with pytest.raises(InvalidParameters, match="no number"):
        Axis.between("activation", 1, 2, 3)
