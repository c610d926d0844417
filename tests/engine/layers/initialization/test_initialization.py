"""Every scheme restated independently and held against what it draws."""

import math

import pytest
import torch
from scipy import stats

from layerscope.engine.diagnosis.gathering import gather
from layerscope.engine.execution.network import Network
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers.initialization import INITS
from layerscope.engine.layers.initialization.structured import unit_variance
from layerscope.engine.theory.experiments import predict_experiment

N_IN, N_OUT = 300, 200

# name -> the distribution of one entry, written anew from the papers
DISTRIBUTIONS = {
    "normal": stats.norm(0, 1),
    "kaiming_normal": stats.norm(0, math.sqrt(2 / N_IN)),
    "xavier_normal": stats.norm(0, math.sqrt(2 / (N_IN + N_OUT))),
    "lecun_normal": stats.norm(0, 1 / math.sqrt(N_IN)),
    "truncated_normal": stats.truncnorm(-2, 2, scale=1 / math.sqrt(N_IN) / 0.8796256610342398),
    "uniform": stats.uniform(-1, 2),
    "kaiming_uniform": stats.uniform(-math.sqrt(6 / N_IN), 2 * math.sqrt(6 / N_IN)),
    "xavier_uniform": stats.uniform(
        -math.sqrt(6 / (N_IN + N_OUT)), 2 * math.sqrt(6 / (N_IN + N_OUT))
    ),
    "pytorch_default": stats.uniform(-1 / math.sqrt(N_IN), 2 / math.sqrt(N_IN)),
}


def draw(name, n_in=N_IN, n_out=N_OUT, seed=0):
    return INITS[name].draw(n_in, n_out, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_entries_follow_the_distribution(name):
    entries = draw(name).double().flatten().numpy()
    assert stats.kstest(entries, DISTRIBUTIONS[name].cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_kolmogorov_smirnov_would_notice_a_factor(name):
    entries = draw(name).double().flatten().numpy() * 1.05
    assert stats.kstest(entries, DISTRIBUTIONS[name].cdf).pvalue < 1e-6


@pytest.mark.parametrize("name", INITS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (40, 25), (25, 40)])
def test_shape_dtype_seed_and_variance(name, shape):
    weight = draw(name, *shape)
    assert weight.shape == shape
    assert weight.dtype == torch.float32
    assert torch.equal(weight, draw(name, *shape))
    variance = INITS[name].variance(*shape)
    if variance is not None and weight.numel() >= 1000:
        assert float(weight.square().mean()) == pytest.approx(variance, rel=0.15)


@pytest.mark.parametrize("name", sorted(set(INITS) - {"zeros", "constant", "identity"}))
def test_another_seed_is_another_weight(name):
    assert not torch.equal(draw(name, 9, 9), draw(name, 9, 9, seed=1))


@pytest.mark.parametrize("shape", [(30, 30), (50, 20), (20, 50)])
def test_orthogonal_is_an_isometry(shape):
    weight = draw("orthogonal", *shape).double()
    small = weight.t() @ weight if shape[0] >= shape[1] else weight @ weight.t()
    torch.testing.assert_close(small, torch.eye(min(shape), dtype=torch.float64), atol=1e-5, rtol=0)


def test_sparse_zeroes_a_tenth_of_each_column():
    zeros = (draw("sparse", 40, 30) == 0).sum(0)
    assert zeros.tolist() == [4] * 30


def test_constants():
    assert torch.equal(draw("zeros", 3, 4), torch.zeros(3, 4))
    assert torch.equal(draw("identity", 3, 4), torch.eye(3, 4))
    assert torch.equal(draw("constant", 4, 2), torch.full((4, 2), 0.25))


def test_lsuv_gives_unit_variance_on_the_batch():
    x = torch.randn(64, 30, generator=torch.Generator().manual_seed(1)) * 7
    scheme = INITS["lsuv"]
    weight = scheme.calibrate(draw("lsuv", 30, 20), x)
    assert float((x @ weight).std()) == pytest.approx(1, rel=1e-3)


def test_unit_variance_leaves_a_silent_input_alone():
    weight = torch.ones(3, 2)
    assert torch.equal(unit_variance(weight, torch.zeros(4, 3)), weight)
    assert torch.equal(unit_variance(weight, torch.full((4, 3), float("nan"))), weight)


def test_every_scheme_says_what_it_assumes():
    for scheme in INITS.values():
        assert scheme.formula
        assert scheme.source
        assert scheme.help
        assert scheme.assumes


def test_pytorchs_default_draws_biases_too():
    """As nn.Linear: U(−1/√n, 1/√n), so that deep networks keep the size that biases give."""
    n_in, n_out = 64, 4000
    bias = INITS["pytorch_default"].bias(n_in, n_out, generator=torch.Generator().manual_seed(1))
    theirs = torch.nn.Linear(n_in, n_out).bias.detach()
    assert bias.shape == theirs.shape
    assert stats.kstest(bias.numpy(), "uniform", (-0.125, 0.25)).pvalue > 0.001
    assert stats.kstest(theirs.numpy(), "uniform", (-0.125, 0.25)).pvalue > 0.001
    assert INITS["pytorch_default"].bias_variance(n_in) == pytest.approx(0.25**2 / 12)


@pytest.mark.parametrize("changes", [{}, {"init_scale": 2.0}, {"bias_std": 0.3}, {"inputs": 20}])
def test_biases_have_the_variance_that_is_said(changes):
    e = Experiment(init="pytorch_default", width=900, depth=2, batch=1, **changes)
    network = Network(e)
    for info in network.infos:
        layer = network.build(info, network.x)
        if info.role == "linear_map" and info.shape[1] > 1:
            found = float(layer.parameters["bias"].square().mean())
            assert found == pytest.approx(e.bias_variance(info.n_in), rel=0.15)


def test_a_deep_network_of_pytorchs_default_lives_on_its_biases():
    records = gather(Experiment(init="pytorch_default")).block_outputs
    deep = torch.nn.Sequential(
        *(m for _ in range(50) for m in (torch.nn.Linear(100, 100), torch.nn.ReLU()))
    )
    theirs = float(deep(torch.randn(200, 100)).detach().square().mean().sqrt())
    predicted = predict_experiment(Experiment(init="pytorch_default")).layers[-2].activation
    assert 0.03 < records[-1].activation.rms < 0.07
    assert 0.03 < theirs < 0.07
    assert 10**predicted.typical == pytest.approx(records[-1].activation.rms, rel=0.3)
