"""Gaussian expectations against closed forms, over a hundred and sixty orders of magnitude."""

import math

import numpy as np
import pytest
import torch

from layerscope.engine.layers.activations import ACTIVATIONS
from layerscope.engine.theory.quadrature import expectation, pair_expectation

EXTREMES = [1e-80, 1e-20, 1e-3, 1.0, 50.0, 1e6, 1e20, 1e80]


@pytest.mark.parametrize("power", [0, 2, 4, 8])
def test_moments_of_the_normal_distribution(power: int) -> None:
    exact = math.prod(range(1, power, 2))  # (p − 1)!!
    found = expectation(lambda u: u**power, [0.5, 2.0])
    np.testing.assert_allclose(found, [exact * q ** (power / 2) for q in (0.5, 2.0)], rtol=1e-11)


@pytest.mark.parametrize("q", EXTREMES)
def test_relu_is_exact_at_every_length(q: float) -> None:
    relu = ACTIVATIONS["relu"]
    assert expectation(lambda u: relu.function(u) ** 2, q, relu.kinks)[0] == pytest.approx(
        q / 2, rel=1e-12
    )
    assert expectation(relu.function, q, relu.kinks)[0] == pytest.approx(
        math.sqrt(q / (2 * math.pi)), rel=1e-12
    )


def test_gelu_has_closed_forms() -> None:
    # E[u·Φ(u)] = q/√(2π(1+q)) by Stein's lemma
    for q in (1e-10, 0.3, 4.0, 1e5):
        found = expectation(ACTIVATIONS["gelu"].function, q)[0]
        assert found == pytest.approx(q / math.sqrt(2 * math.pi * (1 + q)), rel=1e-10)


def test_hardtanh_slope_is_a_probability() -> None:
    hardtanh = ACTIVATIONS["hardtanh"]
    for q in (1e-4, 0.5, 9.0, 1e8, 1e16):
        found = expectation(lambda u: hardtanh.derivative(u) ** 2, q, hardtanh.kinks)[0]
        assert found == pytest.approx(math.erf(1 / math.sqrt(2 * q)), rel=1e-10)


def test_far_saturation_of_tanh() -> None:
    # q → ∞: E[φ'²] → ∫ sech⁴(u) du / √(2πq) = (4/3)/√(2πq)
    found = expectation(lambda u: ACTIVATIONS["tanh"].derivative(u) ** 2, 1e40)[0]
    assert found == pytest.approx(4 / 3 / math.sqrt(2 * math.pi * 1e40), rel=1e-10)


def test_zero_length_is_the_value_at_zero() -> None:
    np.testing.assert_allclose(expectation(torch.sigmoid, [0.0, 1e-30]), [0.5, 0.5])


def test_arccosine_kernel_of_relu() -> None:
    relu = ACTIVATIONS["relu"]
    for c in (-1.0, -0.7, 0.0, 0.5, 0.99, 0.9999, 1.0):
        exact = (math.sqrt(1 - c * c) + (math.pi - math.acos(c)) * c) / (2 * math.pi)
        found = pair_expectation(relu.function, relu.function, 3.0, c, relu.kinks)
        assert found == pytest.approx(3.0 * exact, abs=1e-8), c


def test_arcsine_law_of_steps() -> None:
    def step(u: torch.Tensor) -> torch.Tensor:
        return (u > 0).to(u.dtype)

    for c in (-0.5, 0.3, 0.95):
        found = pair_expectation(step, step, 1.0, c, (0.0,))
        assert found == pytest.approx(0.25 + math.asin(c) / (2 * math.pi), abs=1e-8)


@pytest.mark.parametrize(("q", "c"), [(0.0, 0.5), (-1.0, 0.5), (math.inf, 0.5), (1.0, 1.5)])
def test_pairs_out_of_bounds_are_named(q: float, c: float) -> None:
    with pytest.raises(ValueError, match=f"q={q!r}, c={c!r}".replace(".", r"\.")):
        pair_expectation(torch.tanh, torch.tanh, q, c)


def test_negative_variance_is_refused() -> None:
    with pytest.raises(ValueError, match="variance"):
        expectation(torch.tanh, [1.0, -1.0])
