"""The table of moments against direct quadrature; the series against two dimensions."""

import math

import numpy as np
import pytest

from layerscope.engine.layers.activations import ACTIVATIONS
from layerscope.engine.theory.kernel import Kernel
from layerscope.engine.theory.moments import moment_table
from layerscope.engine.theory.quadrature import expectation, pair_expectation


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_table_matches_quadrature(name: str) -> None:
    table = moment_table(name)
    for log_q in (-21.3, -2.4, 0.7, 3.9):
        direct = table.compute(np.array([math.exp(log_q)]))[0]
        m = table.at(log_q)
        told = [*m[:9], m.variance_kurtosis]
        np.testing.assert_allclose(told, direct, rtol=2e-9, atol=1e-8)


@pytest.mark.parametrize("name", ["tanh", "gelu", "softplus", "squared_relu", "hardtanh"])
def test_derivatives_are_those_of_the_curve(name: str) -> None:
    table = moment_table(name)
    h = 1e-3
    for x in (-1.25, 0.4, 2.6):
        below, here, above = table.at(x - h), table.at(x), table.at(x + h)
        slope = (above.log_second - below.log_second) / (2 * h)
        bend = (above.log_second - 2 * here.log_second + below.log_second) / h**2
        assert here.growth == pytest.approx(slope, abs=1e-5)
        assert here.curvature == pytest.approx(bend, abs=1e-4)
        steep = (above.log_slope2 - below.log_slope2) / (2 * h)
        assert here.slope_growth == pytest.approx(steep, abs=1e-5)
        rising = (above.log_variance - below.log_variance) / (2 * h)
        assert here.variance_growth == pytest.approx(rising, abs=1e-5)
        means = [each.mean * math.exp(each.log_second / 2) for each in (below, here, above)]
        rms = math.exp(here.log_second / 2)
        assert here.mean_growth * rms == pytest.approx((means[2] - means[0]) / (2 * h), abs=1e-5)
        bend = (means[2] - 2 * means[1] + means[0]) / h**2
        assert here.mean_curvature * rms == pytest.approx(bend, abs=1e-4)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "gelu", "squared_relu", "selu"])
def test_far_lengths_follow_the_power_law(name: str) -> None:
    phi = ACTIVATIONS[name]
    for log_q in (-150.0, 150.0):
        q = math.exp(log_q)
        exact = expectation(lambda u: phi.function(u) ** 2, q, phi.kinks)[0]
        assert moment_table(name).at(log_q).log_second == pytest.approx(math.log(exact), abs=1e-7)


def test_homogeneous_activations_are_recognised() -> None:
    found = {name for name in ACTIVATIONS if moment_table(name).homogeneous}
    assert found == {"linear", "relu", "leaky_relu"}


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_series_matches_two_dimensional_quadrature(name: str) -> None:
    phi, table = ACTIVATIONS[name], moment_table(name)
    for q, most in ((0.5, 2e-4), (5.0, 1e-3)):
        m = table.at(math.log(q))
        kernel = Kernel(math.log(q), m, table.spectrum(math.log(q)))
        for c in (0.0, 0.4, 0.9, 0.99):
            exact = pair_expectation(phi.function, phi.function, q, c, phi.kinks)
            assert kernel.at(c).same == pytest.approx(exact / math.exp(m.log_second), abs=most)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_series_is_exact_for_equal_inputs(name: str) -> None:
    table = moment_table(name)
    m = table.at(0.3)
    kernel = Kernel(0.3, m, table.spectrum(0.3))
    around = kernel.at(1.0)
    assert around.same == pytest.approx(1.0, abs=1e-9)
    assert around.rate == pytest.approx(kernel.elasticity, rel=1e-6)
    assert around.squares == pytest.approx(m.kurtosis - 1, rel=1e-6, abs=1e-9)
    assert around.slopes == pytest.approx(m.slope_kurtosis, rel=1e-6)
    assert around.variances == pytest.approx(m.variance_kurtosis - 1, rel=1e-6, abs=1e-9)


def test_unknown_activation_names_the_known_ones() -> None:
    with pytest.raises(KeyError, match=r"unknown activation 'swoosh'.*relu"):
        moment_table("swoosh")


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "softsign"])
def test_the_length_alone_is_that_of_all_moments(name):
    table = moment_table(name)
    for log_q in (-100.0, -46.0, -3.3, 0.0, 0.999, 1.0, 17.25, 45.9999, 46.0, 80.0):
        assert table.log_second(log_q) == pytest.approx(table.at(log_q).log_second, abs=1e-12)
