"""The band against whole networks, for what is drawn: the std of every layer, over some seeds."""

import math
from statistics import fmean

import pytest

from benchmarks.bands import SETTINGS, held, measured
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.theory import without_band
from layerscope.engine.theory.experiments import predict_experiment

SEEDS = 30
SMALL = {"depth": 6, "width": 80, "batch": 32, "init": "lecun_normal"}
KINDS = [
    {"activation": "sigmoid"},
    {"activation": "softplus", "loss": "mae"},
    {"activation": "tanh", "data": "digits", "loss": "mae"},
    {"init": "kaiming_normal", "data": "digits", "loss": "cross_entropy"},
    {"activation": "sigmoid", "norm": "layer", "residual": True},
    {"init": "kaiming_normal", "residual": True, "branch_scale": 0.3},
    {"activation": "tanh", "residual": True},
    {"activation": "silu", "norm": "batch", "batch": 64},
    {"activation": "linear", "output_scale": 10.0},
]


def seen_of(setting):
    """The prediction, and what `SEEDS` networks do."""
    seeds = [measured(Experiment(seed=500 + s, **setting)) for s in range(SEEDS)]
    return predict_experiment(Experiment(**setting)), seeds


@pytest.mark.slow
@pytest.mark.parametrize("change", KINDS, ids=str)
def test_nearly_all_seeds_are_inside(change):
    prediction, seen = seen_of(SMALL | change)
    for name in ("activation", "gradient"):
        found = held(prediction.layers, seen, name)
        if found.share is None:
            assert prediction.gradient_reason
            continue
        assert found.share >= 0.9, (name, found)


@pytest.mark.slow
def test_the_band_is_no_wider_than_seeds_are_apart():
    prediction, seen = seen_of(SMALL | {"activation": "sigmoid"})
    for layer in prediction.layers[:-1]:
        logs = [math.log10(each.activation[layer.index]) for each in seen]
        assert layer.activation.high - layer.activation.low < 2.5 * (max(logs) - min(logs))
        assert layer.activation.std == pytest.approx(fmean(logs), abs=0.03)


def test_one_output_of_samples_that_are_alike_has_no_band_and_it_is_said():
    prediction = predict_experiment(Experiment(**SMALL | {"init": "kaiming_normal"}))
    last = prediction.layers[-1].activation
    assert last.std is not None
    assert (last.low, last.high) == (None, None)
    (said,) = without_band(prediction.layers, "activation")
    assert said.startswith("no band of the activations at layer 7: of so few units")
    assert said in prediction.notes


def test_where_lengths_explode_there_is_no_band():
    setting = SMALL | {"activation": "squared_relu", "depth": 8}
    prediction = predict_experiment(Experiment(**setting))
    assert all(layer.activation.low is None for layer in prediction.layers)
    assert "seeds lie so far apart" in without_band(prediction.layers, "activation")[0]


def test_along_the_mean_of_a_residual_stream_the_gradient_has_no_band():
    change = {"init": "kaiming_normal", "residual": True, "depth": 20, "loss": "mae"}
    prediction = predict_experiment(Experiment(**SMALL | change))
    assert prediction.gradient_reason is None
    assert prediction.layers[0].gradient.std is not None
    assert prediction.layers[0].gradient.low is None
    assert prediction.layers[-4].gradient.low is not None
    last = prediction.layers[-1].gradient  # of signs: its mean square is fixed, whatever its mean
    assert last.typical == pytest.approx(last.rms)
    assert any("grows faster" in s for s in without_band(prediction.layers, "gradient"))


def test_thirty_settings_are_measured():
    assert len(SETTINGS) >= 30


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"data": "digits", "loss": "cross_entropy"}, "targets go with their inputs"),
        ({"init": "lsuv"}, "LSUV's scale"),
        ({}, None),
        ({"init": "lsuv", "activation": "tanh"}, None),
    ],
)
def test_weight_gradients_that_are_not_known_are_not_predicted(change, why):
    prediction = predict_experiment(Experiment(**{"depth": 3} | change))
    linear = [x for x in prediction.layers if x.role == "linear_map"]
    assert all(x.gradient is not None for x in linear)
    assert {x.to_dict()["weight_gradient"] is None for x in linear} == {why is not None}
    said = [note for note in prediction.notes if "weight gradients" in note]
    assert len(said) == (why is not None)
    assert all(why in note for note in said)


def test_a_weight_gradient_of_zero_is_said_to_be_zero():
    nothing = predict_experiment(Experiment(depth=3, init="zeros"))
    told = [x.to_dict()["weight_gradient"] for x in nothing.layers if x.role == "linear_map"]
    assert told == [{"rms": 0.0, "log10_rms": None}] * 4


def test_where_few_units_pass_a_gradient_it_has_no_band_and_with_none_no_theory():
    setting = {"depth": 1, "width": 64, "activation": "tanh", "init_scale": 10.0}
    few = predict_experiment(Experiment(**setting))
    hidden, last = few.layers[0].gradient, few.layers[-1].gradient
    assert (hidden.low, last.low is None) == (None, False)
    assert "not saturated" in without_band(few.layers, "gradient")[0]
    none = predict_experiment(Experiment(**setting | {"depth": 5, "init_scale": 100.0}))
    assert "not saturated" in none.gradient_reason
    assert none.layers[0].gradient is None
    assert none.layers[0].activation.low is not None
    moderate = predict_experiment(Experiment(**setting | {"depth": 5, "init_scale": 2.0}))
    assert all(layer.gradient.low is not None for layer in moderate.layers[:-1])
