"""Weights that no seed changes: against closed forms, the whole of real data, and simulation."""

import json
import math
from statistics import fmean, stdev

import pytest
import torch
from scipy import integrate, stats

from benchmarks.bands import held, measured
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import ACTIVATIONS
from layerscope.engine.theory.experiments import predict_experiment
from layerscope.engine.theory.record import places

SMALL = {"depth": 4, "width": 50, "batch": 64, "init": "identity"}
SEEDS = 40
DIGITS = {"data": "digits", "loss": "cross_entropy"}


def predicted(**change):
    found = predict_experiment(Experiment(**SMALL | change))
    assert found.available, found.reason
    json.dumps(found.to_dict(), allow_nan=False)
    return found


def rms(layer, name):
    return layer.to_dict()[name]["rms"]


def test_a_linear_network_of_identities_is_a_power():
    s, depth, batch, n = 1.3, 4, 64, 50
    found = predicted(activation="linear", init_scale=s)
    sent = 4 * (s ** (2 * depth + 2) + 1) / batch**2  # E[(2(y − t)/N)²] at the one output
    for layer in found.layers:
        assert rms(layer, "activation") == pytest.approx(s**layer.block, rel=1e-9)
        back = sent * s ** (2 * (depth + 1 - layer.block))
        back /= n if layer.block <= depth else 1
        assert rms(layer, "gradient") == pytest.approx(math.sqrt(back), rel=1e-6)


def test_copies_of_a_linear_network_are_the_mean_of_the_features():
    s, n = 2.0, 50
    found = predicted(init="constant", activation="linear", init_scale=s)
    for layer in found.layers:
        assert rms(layer, "activation") == pytest.approx(s**layer.block / math.sqrt(n), rel=1e-9)
    # a block passes back s/n from each of n copies, the last one from its one output
    a, b = (rms(layer, "gradient") for layer in found.layers[:2])
    assert a == pytest.approx(s * b, rel=1e-9)
    y, z = (rms(layer, "gradient") for layer in found.layers[-2:])
    assert y == pytest.approx(s / n * z, rel=1e-9)


def test_a_relu_of_identities_passes_the_positive_half_for_ever():
    layers = predicted(activation="relu").layers
    for layer in layers[1:-1]:
        told = layer.to_dict()["activation"]
        assert told["rms"] ** 2 == pytest.approx(0.5, abs=1e-9)
        assert told["mean"] == pytest.approx(1 / math.sqrt(2 * math.pi), abs=1e-9)


@pytest.mark.parametrize(
    ("name", "residual"), [("tanh", False), ("hardtanh", False), ("gelu", True)]
)
def test_iterates_by_another_integration(name, residual):
    phi, s, depth = ACTIVATIONS[name].function, 1.2, 3

    def iterate(z):
        for _ in range(depth):
            new = float(phi(torch.tensor(s * z, dtype=torch.float64)))
            z = z + new if residual else new
        return z

    points = [k / s**j for k in (-1, 0, 1) for j in range(1, depth + 1)]
    exact, _ = integrate.quad(
        lambda z: iterate(z) ** 2 * stats.norm.pdf(z), -9, 9, points=points, limit=200
    )
    found = predicted(activation=name, init_scale=s, depth=depth, residual=residual)
    assert rms(found.layers[-2], "activation") ** 2 == pytest.approx(exact, rel=3e-4)


def test_what_equal_outputs_are_sent_adds_up_to_zero_and_it_is_said():
    found = predicted(init="constant", loss="cross_entropy")
    assert "adds up to zero" in found.gradient_reason
    second = 9 / 100 / 64**2  # (m − 1)/m² of m classes, over the batch
    assert rms(found.layers[-1], "gradient") ** 2 == pytest.approx(second, rel=1e-9)
    assert all(layer.gradient is None for layer in found.layers[:-1])
    assert not any(f.direction == "backward" for f in found.forecast)


@pytest.mark.parametrize("init", ["identity", "constant"])
@pytest.mark.parametrize("residual", [False, True])
def test_all_of_the_digits_are_counted(init, residual):
    """A batch of all of them is always the same: every figure is exact."""
    change = {"init": init, "residual": residual, "activation": "tanh", "width": 64, "batch": 1797,
              "dtype": "float64", "init_scale": 1.5, "loss": "mse", "data": "digits"}  # fmt: skip
    found, seen = predicted(**change), measured(Experiment(**SMALL | change))
    for layer in found.layers:
        for name in ("activation", "gradient"):
            std = getattr(seen, name)[layer.index]
            assert 10 ** getattr(layer, name).std == pytest.approx(std, rel=1e-6)
        if layer.role == "linear_map":
            exact = seen.weight[layer.index]
            assert 10 ** (2 * layer.weight_gradient) == pytest.approx(exact, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"activation": "linear", "init_scale": 1.1},
        {"activation": "tanh", "init_scale": 1.5, "inputs": 30},
        {"activation": "gelu", "residual": True, "depth": 3, "loss": "huber"},
        {"activation": "relu", "loss": "cross_entropy", "input_mean": 0.5},
        {"activation": "tanh", "width": 100, **DIGITS},
        {"activation": "sigmoid", "width": 40, **DIGITS},
        {"init": "constant", "activation": "relu", "loss": "mae"},
        {"init": "constant", "activation": "tanh", "residual": True},
        {"init": "constant", "activation": "sigmoid", "data": "digits", "loss": "mae"},
        {"init": "constant", "activation": "gelu", "fan": "fan_out", "inputs": 30},
    ],
    ids=str,
)  # fmt: skip
def test_simulated(change):
    found = predicted(**change)
    seen = [measured(Experiment(**SMALL | change, seed=700 + s)) for s in range(SEEDS)]
    for name in ("activation", "gradient"):
        assert held(found.layers, seen, name).share >= 0.9
    for layer in found.layers:
        if layer.role != "linear_map":
            continue
        squares = [each.weight[layer.index] for each in seen]
        error = stdev(squares) / math.sqrt(SEEDS)
        told = 10 ** (2 * layer.weight_gradient)
        assert fmean(squares) == pytest.approx(told, abs=4 * error + 0.02 * told), layer.name


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"norm": "layer"}, "a norm ties together the units"),
        ({"norm": "layer", "init": "constant"}, "units that are copies"),
        ({"norm": "batch"}, "batch norm ties samples together"),
        ({"bias_std": 0.5}, "drawn biases give each unit a number of its own"),
        ({"width": 6, "inputs": 4, "loss": "cross_entropy"}, "fewer inputs than units"),
        ({"activation": "squared_relu", "init_scale": 10.0, "depth": 50}, "beyond what float64"),
    ],
)
def test_where_there_is_none_it_says_why(change, why):
    found = predict_experiment(Experiment(**SMALL | change))
    assert not found.available
    assert why in found.reason


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"inputs": 4, "loss": "cross_entropy"}, "units without an input of their own"),
        ({"activation": "linear", "init_scale": 100.0, "depth": 200}, "outputs beyond"),
    ],
)
def test_forward_alone_where_the_gradient_is_unknown(change, why):
    found = predicted(**change)
    assert why in found.gradient_reason
    assert all(layer.gradient is None for layer in found.layers)


def test_zeros_and_one_sample_are_no_error():
    for change in ({"init_scale": 0.0}, {"batch": 1, "width": 1}, {"input_scale": 0.0}):
        for init in ("identity", "constant"):
            predicted(init=init, **change)


def test_a_gradient_that_hardly_a_batch_shows_has_no_line_and_it_is_said():
    """Of levels torn apart five-fold a block, one within 5⁻ᵈ of 0 carries the gradient's mean."""
    found = predicted(init="constant", activation="tanh", init_scale=5.0, depth=10)
    assert found.layers[0].gradient is None
    assert found.layers[-1].gradient is not None
    assert any("inputs that hardly a batch holds" in note for note in found.notes)


def test_a_std_of_rounding_has_no_band():
    change = {"init": "constant", "activation": "sigmoid", "data": "digits", "depth": 10}
    last = predicted(**change).layers[-2].activation
    assert (last.low, last.high) == (None, None)
    assert "rounding" in last.no_band
    exact = predicted(**change, dtype="float64").layers[-2].activation
    assert exact.low < exact.std < exact.high


TORN = [
    {"activation": "tanh", "init_scale": 5.0},
    {"activation": "softsign", "init_scale": 5.0, "depth": 100},
    {"activation": "tanh", "init": "constant", "init_scale": 7.0},
    {"activation": "tanh", "init_scale": 10.0, "depth": 100, "residual": True},
    {"activation": "hardtanh", "init_scale": 10.0, "depth": 100, "residual": True},
    {"init": "constant", "input_scale": 1e-160},
    {"input_scale": 1e-160, "input_mean": 1e-170},
]


@pytest.mark.parametrize("change", TORN, ids=str)
def test_a_deep_network_that_tears_its_samples_apart_is_told_of_without_an_error(change):
    """Its gradients differ by many powers of ten from one level to the next."""
    found = predicted(**{"depth": 50, "width": 100, "batch": 200} | change)
    gone = [note for note in found.notes if note.startswith("no theory of the gradients")]
    missing = [layer.block for layer in found.layers if layer.gradient is None]
    if found.gradient_reason is None:
        assert bool(gone) == bool(missing)
        assert not gone or f" at {places(missing)}:" in gone[0]
    shown = [s for layer in found.layers for s in (layer.activation, layer.gradient) if s]
    assert all(math.isfinite(s.std) for s in shown if s.std is not None)


def test_small_scales_are_no_zeros():
    told = predict_experiment(
        Experiment(depth=2, width=20, batch=8, init="lecun_normal", dtype="float64",
                   activation="linear", init_scale=1e-170)
    )  # fmt: skip
    assert rms(told.layers[0], "activation") == pytest.approx(1e-170, rel=1e-6)
