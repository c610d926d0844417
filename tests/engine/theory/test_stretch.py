"""Moments of squared singular values against random matrices and known numbers."""

import math

import numpy as np
import pytest

from layerscope.engine.theory.network import network
from layerscope.engine.theory.stretch import NoStretch, stretches

SIZES = {"depth": 4, "width": 100, "inputs": 100, "outputs": 1, "batch": 2}


def of(activation, w, **change):
    return network(activation, **SIZES | change, variance=lambda n_in, _: w / n_in)


def test_products_of_gaussian_matrices_have_fuss_and_catalans_numbers():
    found = stretches(of("linear", 4.0))
    assert [round(s.dispersion, 9) for s in found] == [2, 3, 4, 5]
    assert [s.log10_rms for s in found] == pytest.approx([d * math.log10(2) for d in (1, 2, 3, 4)])


def test_orthogonal_ones_stretch_all_directions_alike():
    found = [s.dispersion for s in stretches(of("linear", 4.0, orthogonal=True))]
    assert found == pytest.approx([1.0] * 4)


def test_half_of_the_units_of_relu_pass_nothing():
    """D has as many zeros as ones: κ = 2 (Pennington et al. 2017)."""
    found = [s.dispersion for s in stretches(of("relu", 2.0, orthogonal=True))]
    assert found == pytest.approx([2, 3, 4, 5])


@pytest.mark.parametrize("orthogonal", [False, True])
@pytest.mark.parametrize("inputs", [150, 600])
def test_matrices_drawn(inputs, orthogonal):
    n, w, depth, rng = 300, 1.4, 3, np.random.default_rng(0)

    def weight(n_in):
        if not orthogonal:
            return rng.normal(size=(n, n_in)) * math.sqrt(w / n_in)
        q = np.linalg.qr(rng.normal(size=(max(n, n_in), min(n, n_in))))[0]
        return (q if n >= n_in else q.T) * math.sqrt(w)

    product = np.eye(inputs)
    for n_in in (inputs, *[n] * (depth - 1)):
        product = np.diag(rng.integers(0, 2, n)) @ weight(n_in) @ product  # a ReLU's slopes
    values = np.linalg.svd(product, compute_uv=False) ** 2
    change = {"depth": depth, "width": n, "inputs": inputs, "orthogonal": orthogonal}
    net = network(
        "relu", **SIZES | change, variance=lambda i, o: w / (max(i, o) if orthogonal else i)
    )
    told = stretches(net)[-1]
    assert told.log10_rms == pytest.approx(0.5 * math.log10(values.mean()), abs=0.02)
    assert told.dispersion == pytest.approx((values**2).mean() / values.mean() ** 2, rel=0.06)


def test_a_residual_block_by_hand():
    """|I + DW|⁴ of one block: 1 + 4χ + χ²(κ + 1) over (1 + χ)², for a linear one."""
    w, rng, n = 0.7, np.random.default_rng(0), 500
    (told,) = stretches(of("linear", w, residual=True, depth=1))
    assert told.dispersion == pytest.approx((1 + 4 * w + 2 * w * w) / (1 + w) ** 2)
    values = np.linalg.svd(np.eye(n) + rng.normal(size=(n, n)) * math.sqrt(w / n), compute_uv=False)
    squares = values**2
    assert told.dispersion == pytest.approx((squares**2).mean() / squares.mean() ** 2, rel=0.03)
    assert told.log10_rms == pytest.approx(0.5 * math.log10(squares.mean()), abs=0.01)


def test_no_weights_leave_nothing_and_a_stream_leaves_itself():
    assert stretches(of("tanh", 0.0)) == [None] * 4
    for s in stretches(of("tanh", 0.0, residual=True)):
        assert (s.log10_rms, s.dispersion) == pytest.approx((0.0, 1.0))


def test_a_stream_with_a_mean_has_a_direction():
    with pytest.raises(NoStretch, match="one singular value"):
        stretches(of("relu", 1.0, residual=True))
    assert len(stretches(of("relu", 1.0, residual=True, norm="layer"))) == 4
