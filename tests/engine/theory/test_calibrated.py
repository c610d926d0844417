"""LSUV: what is known before any weight is drawn, against closed forms and simulation."""

import json
import math

import pytest
import torch
from scipy import integrate, stats

from benchmarks.bands import held, measured
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import ACTIVATIONS
from layerscope.engine.theory.experiments import predict_experiment

SMALL = {"depth": 5, "width": 80, "batch": 32, "init": "lsuv"}
SEEDS = 30


def predicted(**change):
    found = predict_experiment(Experiment(**SMALL | change))
    assert found.available, found.reason
    json.dumps(found.to_dict(), allow_nan=False)
    return found


def gaussian(f):
    """E[f(Z)] by another integration."""
    return integrate.quad(lambda z: f(z) * stats.norm.pdf(z), -9, 9, points=[0.0], limit=200)[0]


@pytest.mark.parametrize("change", [
    {"activation": "tanh"}, {"activation": "relu", "loss": "cross_entropy"},
    {"activation": "sigmoid", "norm": "layer"}, {"activation": "gelu", "residual": True},
    {"activation": "silu", "data": "digits"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_every_linear_layer_has_the_std_that_it_was_given(change, scale):
    setting = SMALL | change | {"init_scale": scale, "dtype": "float64"}
    found, seen = predicted(**change, init_scale=scale), measured(Experiment(**setting))
    for layer in found.layers:
        if layer.role == "linear_map":
            entries = 32 * layer.units
            told = 10**layer.activation.std
            assert told == pytest.approx(scale * math.sqrt(entries / (entries - 1)), rel=1e-9)
            # the weights are rounded to float32 once they are scaled
            assert seen.activation[layer.index] == pytest.approx(told, rel=1e-6)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "sigmoid"])
def test_what_follows_for_the_activation_and_the_gradient(name):
    phi = ACTIVATIONS[name]

    def at(function, z):
        return float(function(torch.tensor([z], dtype=torch.float64))[0])

    second = gaussian(lambda z: at(phi.function, z) ** 2)
    slope = gaussian(lambda z: at(phi.derivative, z) ** 2)
    found = predicted(activation=name, width=4000, inputs=4000)
    told = found.layers[3].to_dict()["activation"]
    assert told["rms"] ** 2 == pytest.approx(second, rel=2e-3)
    assert found.sigma_w2 == pytest.approx(1 / second, rel=2e-3)
    assert found.chi1 == pytest.approx(slope / second, rel=2e-3)  # χ₁ = σw²E[φ'²]
    assert found.xi_q == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("change", [
    {"activation": "tanh"},
    {"activation": "tanh", "bias_std": 0.3, "loss": "huber"},
    {"activation": "relu", "loss": "cross_entropy"},
    {"activation": "relu", "data": "digits", "loss": "cross_entropy"},
    {"activation": "tanh", "residual": True},
    {"activation": "gelu", "norm": "layer", "data": "digits", "loss": "cross_entropy"},
    {"activation": "hardtanh", "width": 200, "inputs": 20, "batch": 16},
    {"activation": "hardswish", "depth": 4, "width": 100, "data": "digits",
     "loss": "cross_entropy"},
    {"activation": "gelu", "loss": "cross_entropy"},
], ids=str)  # fmt: skip
def test_nearly_all_seeds_are_inside(change):
    found = predicted(**change)
    seen = [measured(Experiment(**SMALL | change, seed=300 + s)) for s in range(SEEDS)]
    for name in ("activation", "gradient"):
        assert held(found.layers, seen, name).share >= 0.9, name


def test_biases_come_on_top():
    found = predicted(activation="tanh", bias_std=0.5, width=4000, inputs=4000)
    last = found.layers[-3].to_dict()["activation"]
    assert last["rms"] == pytest.approx(math.sqrt(1.25), rel=2e-3)


def test_one_output_of_samples_that_are_alike_has_no_gradient_and_it_is_said():
    found = predicted(activation="sigmoid")
    assert "come to look alike" in found.gradient_reason
    assert all(layer.gradient is None for layer in found.layers)
    assert found.layers[-1].activation.std == pytest.approx(math.log10(math.sqrt(32 / 31)))


def test_where_nothing_goes_in_the_weights_stay_as_they_were_drawn():
    gone = predicted(norm="layer", norm_gain=0.0)  # ReLU passes zeros on
    assert gone.layers[-1].activation.rms is None
    for change in ({"init_scale": 0.0}, {"input_scale": 0.0}):
        assert predicted(**change).layers[-1].activation.rms is None
    predicted(batch=1, width=1)


@pytest.mark.parametrize("change", [
    {"activation": "gelu", "depth": 50, "width": 100, "batch": 200},
    {"activation": "hardswish", "depth": 20},
], ids=str)  # fmt: skip
def test_where_lengths_grow_apart_the_line_is_near_and_nothing_more_is_said(change):
    """LSUV holds what a batch's samples have together; a curved activation tears them apart."""
    found = predicted(**change)
    assert "samples' lengths grow apart" in found.gradient_reason
    assert all(layer.gradient is None for layer in found.layers)
    assert any("no band" in note and "lengths grow apart" in note for note in found.notes)
    assert not any("rare seeds" in note for note in found.notes)
    seen = measured(Experiment(**SMALL | change))
    for layer in found.layers:
        ratio = seen.activation[layer.index] / 10**layer.activation.std
        assert 0.5 < ratio < 2.0, layer.name


def test_where_the_longest_sample_makes_the_std_there_is_no_line():
    found = predict_experiment(Experiment(**SMALL | {"activation": "squared_relu", "depth": 6}))
    assert not found.available
    assert "lengths grow apart" in found.reason


def test_a_std_over_few_numbers_gives_gradients_no_mean():
    for batch, told in ((2, False), (4, False), (16, True)):
        found = predicted(activation="tanh", batch=batch)
        assert (found.layers[-1].gradient is not None) is told, batch
        assert told or "no mean" in found.gradient_reason
