"""Critical points against a solver that shares nothing with ours: quad, brentq, numpy formulas."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import erf

from layerscope.engine.theory import (
    NoCriticalPoint,
    critical_curve,
    critical_point,
    critical_points,
    fixed_point,
)

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
Scalar = Callable[[float], float]


def _normal(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


PAIRS: dict[str, tuple[Scalar, Scalar]] = {
    "tanh": (math.tanh, lambda x: 1 - math.tanh(x) ** 2),
    "hardtanh": (lambda x: max(-1.0, min(1.0, x)), lambda x: float(abs(x) < 1)),
    "sigmoid": (_sigmoid, lambda x: _sigmoid(x) * (1 - _sigmoid(x))),
    "gelu": (
        lambda x: x * (1 + erf(x / math.sqrt(2))) / 2,
        lambda x: (1 + erf(x / math.sqrt(2))) / 2 + x * _normal(x),
    ),
    "elu": (lambda x: x if x > 0 else math.expm1(x), lambda x: 1.0 if x > 0 else math.exp(x)),
    "selu": (
        lambda x: SELU_SCALE * (x if x > 0 else SELU_ALPHA * math.expm1(x)),
        lambda x: SELU_SCALE * (1.0 if x > 0 else SELU_ALPHA * math.exp(x)),
    ),
    "softsign": (lambda x: x / (1 + abs(x)), lambda x: 1 / (1 + abs(x)) ** 2),
}


def _mean(f: Scalar, q: float) -> float:
    """E[f(√q Z)²] by adaptive quadrature in z, told where the functions bend."""
    root = math.sqrt(q)
    points = sorted({b / root for b in (-8.0, -1.0, 0.0, 1.0, 8.0) if abs(b) < 9 * root})
    value, _ = quad(lambda z: f(root * z) ** 2 * _normal(z), -9, 9, points=points, limit=300)
    return float(value)


def _independent(name: str, sigma_b2: float, bracket: tuple[float, float]) -> tuple[float, float]:
    """σw² and q* with χ1(q*) = 1: the fixed point by iteration inside, the root in σw² outside."""
    phi, slope = PAIRS[name]

    def settle(w: float) -> float:
        return float(
            brentq(lambda q: w * _mean(phi, q) + sigma_b2 - q, 1e-3, 1e3, xtol=1e-10, rtol=1e-10)
        )

    w = float(brentq(lambda w: w * _mean(slope, settle(w)) - 1, *bracket, xtol=1e-7, rtol=1e-8))
    return w, settle(w)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sigma_b2", "bracket"),
    [
        ("tanh", 0.05, (1.2, 3.0)),
        ("tanh", 0.5, (1.5, 4.0)),
        ("hardtanh", 0.05, (1.05, 2.0)),
        ("sigmoid", 0.0, (60.0, 160.0)),
        ("elu", 0.05, (1.2, 1.9)),
        ("selu", 0.05, (0.7, 1.05)),
        ("selu", 1.0, (1.0, 1.6)),
        ("softsign", 0.05, (2.0, 5.0)),
        ("gelu", 1.0, (1.5, 1.99)),
    ],
)
def test_against_the_independent_solver(
    name: str, sigma_b2: float, bracket: tuple[float, float]
) -> None:
    w, q = _independent(name, sigma_b2, bracket)
    point = critical_point(name, sigma_b2)
    assert point.stable
    assert point.sigma_w2 == pytest.approx(w, rel=1e-6)
    assert point.q_star == pytest.approx(q, rel=1e-4)


def test_reference_points() -> None:
    assert critical_point("relu").sigma_w2 == pytest.approx(2.0, abs=1e-9)
    assert critical_point("relu").q_star is None
    assert critical_point("linear").sigma_w2 == pytest.approx(1.0, abs=1e-9)
    tanh = critical_point("tanh", 0.05)
    assert tanh.sigma_w2 == pytest.approx(1.761, abs=1e-3)
    assert tanh.q_star == pytest.approx(0.570, abs=1e-3)
    assert critical_point("leaky_relu").sigma_w2 == pytest.approx(2 / (1 + 0.01**2), abs=1e-9)


def test_without_bias_tanh_is_critical_at_the_origin() -> None:
    point = critical_point("tanh")
    assert (point.q_star, point.stable) == (0.0, True)
    assert point.sigma_w2 == pytest.approx(1.0, abs=1e-9)


def test_unstable_points_say_so() -> None:
    # GELU, no bias: slope 1/2 at 0 needs σw² = 4, but E[φ²]/q grows with q, so the length leaves 0
    (origin,) = critical_points("gelu", 0.0)
    assert (origin.q_star, origin.stable) == (0.0, False)
    assert origin.sigma_w2 == pytest.approx(4.0, rel=1e-9)
    (squared,) = critical_points("squared_relu", 0.1)
    assert squared.sigma_w2 == pytest.approx(1 / (8 * 0.1), rel=1e-9)  # E[φ²] = 1.5q², E[φ'²] = 2q
    assert squared.q_star == pytest.approx(0.4, rel=1e-9)
    assert not squared.stable


@pytest.mark.parametrize(
    ("name", "sigma_b2", "why"), [("relu", 0.1, "every layer adds"), ("softplus", 0.0, "no length")]
)
def test_where_there_is_none_the_reason_is_given(name: str, sigma_b2: float, why: str) -> None:
    assert critical_points(name, sigma_b2) == []
    with pytest.raises(NoCriticalPoint, match=f"{name} has no critical point.*{why}"):
        critical_point(name, sigma_b2)


@pytest.mark.parametrize("name", ["tanh", "elu", "selu", "gelu", "hardtanh", "softsign"])
def test_the_curve_lies_on_the_edge(name: str) -> None:
    curve = critical_curve(name, max_sigma_w=3.0, max_sigma_b=1.0, points=40)
    assert len(curve) > 10
    for point in curve[1::6]:
        assert math.sqrt(point.sigma_w2) <= 3.0
        assert math.sqrt(point.sigma_b2) <= 1.0
        if point.q_star is None or point.q_star < 1e-6 or abs(point.chi_length - 1) < 0.02:
            continue
        found = fixed_point(name, point.sigma_w2, point.sigma_b2, start=point.q_star)
        assert found.chi1 == pytest.approx(1.0, abs=1e-6)
        assert found.q_star == pytest.approx(point.q_star, rel=1e-6)
    assert np.all(np.diff([p.q_star or 0.0 for p in curve]) >= 0)


def test_bounds_are_checked() -> None:
    with pytest.raises(ValueError, match="sigma_b2"):
        critical_points("tanh", -0.1)
    with pytest.raises(ValueError, match="positive bounds"):
        critical_curve("tanh", max_sigma_w=0.0)
