"""Singular values of deep Jacobians against high precision, and what depth does to them."""

import math

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from layerscope.engine.theory.products import Product
from layerscope.engine.theory.spectrum import (
    estimate_spectrum,
    jacobian_spectrum,
    spectrum_through_depth,
)

F64 = torch.float64


def network(n: int, depth: int, *, masks: bool = False, scale: float = 1.0) -> tuple[
    list[Tensor], list[Tensor | None]
]:  # fmt: skip
    generator = torch.Generator().manual_seed(n + depth)
    weights, slopes = [], []
    for _ in range(depth):
        weights.append(scale * torch.randn(n, n, dtype=F64, generator=generator) / math.sqrt(n))
        slope = torch.rand(n, dtype=F64, generator=generator)
        slopes.append((slope > 0.3).to(F64) if masks else slope)
    return weights, list(slopes)


def singular_values(weights: list[Tensor], slopes: list[Tensor | None]) -> np.ndarray:
    """Descending, the zeros included."""
    found = jacobian_spectrum(weights, slopes)
    return np.concatenate([10.0 ** np.asarray(found.log10_values), np.zeros(found.zeros)])


@pytest.mark.parametrize(("n", "depth", "scale"), [(8, 5, 1.0), (8, 40, 1.0), (10, 60, 30.0)])
def test_against_250_digits(n: int, depth: int, scale: float) -> None:
    weights, slopes = network(n, depth, scale=scale)
    with mpmath.workdps(250):
        product = mpmath.eye(n)
        for w, s in zip(weights, slopes, strict=True):
            assert s is not None
            product = mpmath.diag([mpmath.mpf(x) for x in s.tolist()]) * (
                mpmath.matrix(w.T.tolist()) * product
            )
        exact = sorted(mpmath.log10(x) for x in mpmath.svd_r(product, compute_uv=False))[::-1]
        found = jacobian_spectrum(weights, slopes)
        np.testing.assert_allclose(found.log10_values, [float(x) for x in exact], atol=1e-9)
    assert found.log10_condition == pytest.approx(float(exact[0] - exact[-1]), abs=1e-9)


def test_against_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(7, 5, dtype=F64, generator=generator)]
    weights.append(torch.randn(5, 6, dtype=F64, generator=generator))
    x = torch.randn(7, dtype=F64, generator=generator)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: torch.tanh(x @ weights[0]) @ weights[1], x
    )
    slope = 1 - torch.tanh(x @ weights[0]) ** 2
    found = singular_values(weights, [slope])
    np.testing.assert_allclose(found[:5], torch.linalg.svdvals(jacobian)[:5].numpy(), rtol=1e-12)
    assert found[5] == 0  # rank 5 of 6


def test_dead_directions_are_exactly_zero() -> None:
    weights, slopes = network(20, 6, masks=True)
    found = jacobian_spectrum(weights, slopes)
    product = torch.eye(20, dtype=F64)
    for w, s in zip(weights, slopes, strict=True):
        assert s is not None
        product = s[:, None] * (w.T @ product)
    rank = int(torch.linalg.matrix_rank(product))
    assert (found.zeros, len(found.log10_values)) == (20 - rank, rank)
    assert found.log10_condition is None
    exact = torch.linalg.svdvals(product)[:rank].log10()
    np.testing.assert_allclose(found.log10_values, exact.numpy(), atol=1e-9)


def test_a_repeated_column_hides_no_other() -> None:
    w = torch.zeros(4, 4, dtype=F64)
    w[0, 0] = w[1, 0] = 1.0
    w[2, 1], w[3, 2] = 1e-3, 1e-6
    np.testing.assert_allclose(
        singular_values([w], [None]), [math.sqrt(2), 1e-3, 1e-6, 0.0], rtol=1e-12
    )


def test_orthogonal_weights_keep_the_spectrum_together() -> None:
    weights, _ = network(50, 40)
    gaussian = jacobian_spectrum(weights, [None] * 40)
    kept = jacobian_spectrum([torch.linalg.qr(w)[0] for w in weights], [None] * 40)
    assert kept.log10_condition == pytest.approx(0.0, abs=1e-12)
    assert gaussian.log10_condition is not None
    assert gaussian.log10_condition > 20
    histogram = gaussian.histogram(10)
    assert sum(histogram["counts"]) == 50
    assert len(histogram["edges"]) == 11


def test_condition_grows_with_depth() -> None:
    weights, slopes = network(30, 20)
    found = spectrum_through_depth(weights, slopes, [1, 5, 10, 20])
    condition = [s.log10_condition for s in found]
    assert condition == sorted(condition, key=lambda x: x or 0.0)
    assert found[-1] == jacobian_spectrum(weights, slopes)
    with pytest.raises(ValueError, match="ascending numbers from 1 to 20"):
        spectrum_through_depth(weights, slopes, [5, 21])


def test_no_depth_overflows() -> None:
    weights, slopes = network(12, 800, scale=100.0)
    found = jacobian_spectrum(weights, slopes)
    assert found.log10_values[0] > 400
    assert found.log10_condition is not None


def test_estimates_without_the_matrix() -> None:
    weights, slopes = network(120, 10)
    exact = jacobian_spectrum(weights, slopes)
    generator = torch.Generator().manual_seed(1)
    found = estimate_spectrum(weights, slopes, generator=generator, steps=20, probes=64)
    assert found.estimated
    assert found.log10_largest == pytest.approx(exact.log10_values[0], abs=1e-3)
    mean = math.log10(np.mean([100**x for x in exact.log10_values]))
    assert found.relative_error is not None
    assert found.log10_mean_square == pytest.approx(
        mean, abs=4 * found.relative_error / math.log(10)
    )
    dead = estimate_spectrum(weights, [torch.zeros(120)] * 10, generator=generator)
    assert dead.log10_largest is None


@pytest.mark.parametrize(
    ("shapes", "slopes", "message"),
    [([], [], "at least one weight"), ([(3, 4), (5, 2)], [None], r"\(5, 2\) does not follow"),
     ([(3, 4)], [torch.ones(3)], r"slopes 0 have shape \(3,\); expected \(4,\)"),
     ([(3, 4)], [None] * 3, "1 weights, 3 slopes")],
)  # fmt: skip
def test_shapes_are_checked(
    shapes: list[tuple[int, int]], slopes: list[Tensor | None], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        jacobian_spectrum([torch.ones(s) for s in shapes], slopes)


def test_infinite_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="weight 0 holds NaN or infinity"):
        jacobian_spectrum([torch.full((2, 2), math.inf)], [])


def test_a_product_that_is_zero_stays_zero() -> None:
    product = Product(3)
    product.apply(np.zeros((4, 3)))
    product.apply(np.ones((2, 4)))
    assert product.log_singular_values().size == 0
    assert product.q.shape == (2, 0)
