"""Every scheme restated independently and held against what it draws."""

import math

import pytest
import torch
from scipy import stats

from layerscope.engine.initialization import INITS
from layerscope.engine.initialization.structured import unit_variance

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
