"""What is seldom asked for: data, biases, fans, last layers and reductions, and their theory."""

from __future__ import annotations

import math
import pickle

import pytest
import sympy
import torch
from torch import nn
from torch.nn import functional as F

from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.diagnosis.run import result
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, LossStep, passes
from layerscope.engine.experiment.data import DATASETS
from layerscope.engine.experiment.data.base import measured_moments
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import ACTIVATIONS
from layerscope.engine.theory.experiments import predict_experiment
from tests.simulation import assert_theory_is_simulated

SMALL = Experiment(depth=2, width=12, batch=8, inputs=9)
RARE = [
    {"input_scale": 3.0},
    {"input_mean": 2.0},
    {"input_scale": 0.5, "input_mean": -1.0, "data": "digits", "inputs": None},
    {"output_scale": 0.1},
    {"fan": "fan_out"},
    {"reduction": "sum"},
    {"reduction": "sum", "loss": "huber"},
    {"reduction": "sum", "loss": "cross_entropy", "data": "digits", "inputs": None},
    {"bias_mean": -0.5},
    {"activation": "leaky_relu", "alpha": 0.2},
    {"activation": "leaky_relu", "alpha": 1.5, "norm": "layer"},
    {"activation": "elu", "alpha": 0.3},
]


def changed(change, **more):
    return Experiment.model_validate({**SMALL.to_dict(), **change, **more})


def linear(experiment):
    """Weights and biases, from the first layer on."""
    kept = []
    for step in passes(Network(experiment)):
        if isinstance(step, ForwardStep) and step.layer.parameters:
            kept.append({n: p.clone() for n, p in step.layer.parameters.items()})
    return kept


@pytest.mark.parametrize("data", list(DATASETS))
def test_the_data_is_scaled_and_then_shifted(data):
    plain = changed({"data": data, "inputs": None})
    x = Network(plain).x
    assert torch.equal(Network(changed(plain.to_dict(), input_scale=2.5)).x, x * 2.5)
    both = changed(plain.to_dict(), input_scale=2.5, input_mean=-4.0)
    assert torch.equal(Network(both).x, x * 2.5 - 4.0)


def test_a_bias_mean_moves_biases_and_nothing_else():
    for bias in ({}, {"bias_std": 0.3}, {"init": "pytorch_default"}):
        before, after = linear(changed(bias)), linear(changed(bias, bias_mean=-0.25))
        for a, b in zip(before, after, strict=True):
            assert torch.equal(a["weight"], b["weight"])
            assert torch.equal(a["bias"] - 0.25, b["bias"])


def test_the_output_scale_is_of_the_last_layer():
    before, after = linear(SMALL), linear(changed({}, output_scale=0.01))
    for a, b in zip(before[:-1], after[:-1], strict=True):
        assert torch.equal(a["weight"], b["weight"])
    assert torch.equal(before[-1]["weight"] * 0.01, after[-1]["weight"])


@pytest.mark.parametrize("init", ["kaiming_normal", "kaiming_uniform", "orthogonal"])
def test_by_fan_out_a_weight_is_drawn_backwards_and_turned_over(init):
    wide = Experiment(depth=1, width=400, inputs=100, batch=2, init=init, fan="fan_out")
    weight = linear(wide)[0]["weight"]
    turned = linear(Experiment(depth=1, width=100, inputs=400, batch=2, init=init))[0]["weight"]
    assert torch.equal(weight, turned.t())
    assert weight.is_contiguous()
    intended = wide.weight_variance(100, 400)
    assert float(weight.var()) == pytest.approx(intended, rel=0.05)


@pytest.mark.parametrize(
    ("loss", "theirs"), [("mse", F.mse_loss), ("mae", F.l1_loss), ("huber", F.huber_loss),
                         ("cross_entropy", F.cross_entropy)],
)  # fmt: skip
def test_a_summed_loss_is_pytorchs(loss, theirs):
    network = Network(changed({"loss": loss, "reduction": "sum"}))
    steps = passes(network)
    last = next(s for s in steps if isinstance(s, LossStep))
    output = last.output.clone().requires_grad_()
    want = theirs(output, network.target, reduction="sum")
    assert float(last.loss) == pytest.approx(want.item(), rel=1e-6)
    want.backward()
    first = next(s for s in steps if isinstance(s, BackwardStep))
    torch.testing.assert_close(first.gradient, output.grad)


@pytest.mark.parametrize("change", RARE, ids=str)
def test_gradients_equal_autograds(change):
    told = result(changed(change, dtype="float64"), fixes=False)["check"]
    assert told["autograd_max_relative_error"] < 1e-9


@pytest.mark.parametrize(("scale", "mean"), [(1.0, 0.0), (2.0, 0.5), (0.3, -1.0), (0.0, 2.0)])
def test_moments_of_gaussian_data_are_those_measured(scale, mean):
    told = DATASETS["gaussian"].moments(50, scale, mean)
    sample = DATASETS["gaussian"].draw(4096, 50, torch.Generator().manual_seed(1))
    seen = measured_moments(sample.x * scale + mean, sample.number)
    assert told.mean_square == pytest.approx(seen.mean_square, rel=0.01)
    assert told.length_variance == pytest.approx(seen.length_variance, rel=0.1, abs=1e-9)
    assert told.correlation == pytest.approx(seen.correlation, abs=0.01)


def test_of_nothing_nothing_is_told():
    assert DATASETS["gaussian"].moments(5, 0.0, 0.0)[:3] == (0.0, 0.0, 0.0)


THEORY = [
    {"input_scale": 3.0},
    {"input_mean": 1.0},
    {"output_scale": 0.1},
    {"fan": "fan_out", "inputs": 400},
    {"reduction": "sum"},
    {"reduction": "sum", "loss": "cross_entropy"},
    {"activation": "leaky_relu", "alpha": 0.4},
    {"activation": "elu", "alpha": 2.5},
]


@pytest.mark.slow
@pytest.mark.parametrize("change", THEORY, ids=str)
def test_theory_equals_simulation(change):
    assert_theory_is_simulated(change)


def test_beyond_theory_the_reason_is_given():
    told = predict_experiment(changed({"bias_mean": -0.5}))
    assert not told.available
    assert "biases of mean -0.5" in told.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "fix"),
    [
        ({"bias_mean": -1.0}, {"bias_mean": 0.0}),
        ({"bias_mean": -1.0, "output_scale": 0.9}, {"bias_mean": 0.0}),  # one alone before all
        ({"input_scale": 50.0, "input_mean": 100.0}, {"input_scale": 1.0, "input_mean": 0.0}),
        ({"activation": "leaky_relu", "alpha": 50.0}, {"alpha": 0.01}),
    ],
    ids=str,
)
def test_what_is_hardly_meant_is_set_back_first(change, fix):
    told = result(Experiment(depth=6, **change), check=False)
    assert told["findings"][0]["fix"] == fix


@pytest.mark.parametrize(
    ("name", "module"),
    [("leaky_relu(0.2)", nn.LeakyReLU(0.2)), ("leaky_relu(1.5)", nn.LeakyReLU(1.5)),
     ("leaky_relu(0.0)", nn.LeakyReLU(0.0)), ("elu(0.3)", nn.ELU(0.3)),
     ("elu(1e-05)", nn.ELU(1e-5)), ("elu(1e-300)", nn.ELU(1e-300))],
)  # fmt: skip
def test_a_parameter_is_pytorchs(name, module):
    phi = ACTIVATIONS[name]
    assert phi.computes(module)
    assert phi is ACTIVATIONS[name]
    assert pickle.loads(pickle.dumps(phi)) is phi  # noqa: S301 - as a worker sends it
    x = torch.linspace(-3, 3, 61, dtype=torch.float64, requires_grad=True)
    y = module(x)
    torch.testing.assert_close(phi.function(x.detach()), y.detach())
    y.sum().backward()
    kink = x.detach() == 0
    torch.testing.assert_close(phi.derivative(x.detach())[~kink], x.grad[~kink])
    symbol = sympy.Symbol("x", real=True)
    value = phi.symbolic(symbol).subs(symbol, -1.5)
    assert float(value) == pytest.approx(float(phi.function(torch.tensor(-1.5).double())))


def test_with_its_usual_value_it_is_as_before():
    for name, value in (("leaky_relu", 0.01), ("elu", 1.0)):
        plain = changed({"activation": name})
        for a, b in zip(linear(plain), linear(changed(plain.to_dict(), alpha=value)), strict=True):
            assert all(torch.equal(a[k], b[k]) for k in a)
        assert result(plain, fixes=False)["loss"] == result(
            changed(plain.to_dict(), alpha=value), fixes=False
        )["loss"]  # fmt: skip
        usual, same = ACTIVATIONS[name], ACTIVATIONS[f"{name}({value})"]
        assert usual.torch_settings == same.torch_settings


@pytest.mark.parametrize(
    "name",
    [
        "relu(0.2)", "leaky_relu()", "leaky_relu(x)", "leaky_relu(nan)", "leaky_relu(-1)",
        "leaky_relu(0.2", "leaky_relu(0.1.2)", "leaky_relu(.)", "leaky_relu(1e999)",
        "nothing(0.2)", "(0.2)",
    ],
)  # fmt: skip
def test_no_other_name_is_an_activation(name):
    assert name not in ACTIVATIONS


@pytest.mark.parametrize("alpha", [0.2, 1.0, 1e-5])
def test_a_parameter_goes_into_a_link_and_comes_back(alpha):
    chosen = Experiment(activation="elu", alpha=alpha)
    assert Experiment.from_strings(chosen.to_query().items()) == chosen
    assert Experiment.from_json(chosen.to_dict()) == chosen
    assert "expected a number from 0 to 100" in Experiment.expectation("alpha")


def test_a_parameter_needs_an_activation_that_has_one():
    with pytest.raises(InvalidParameters, match="expected nothing: relu has no parameter"):
        Experiment.from_json({"alpha": 0.2})


def test_the_critical_scale_follows_the_slope():
    told = predict_experiment(
        Experiment(activation="leaky_relu", alpha=0.5, init="kaiming_normal",
                   init_scale=math.sqrt(1 / (1 + 0.5**2)))
    )  # fmt: skip
    assert told.phase == "critical"
