"""Length and correlation maps: reference points, and fixed points that are fixed."""

import math

import pytest

from layerscope.engine.layers.activations import ACTIVATIONS
from layerscope.engine.theory import (
    chi,
    correlation_map,
    correlation_path,
    fixed_point,
    length_map,
    length_path,
)


def test_relu_keeps_every_length_at_two() -> None:
    point = fixed_point("relu", 2.0, 0.0)
    assert (point.kind, point.phase) == ("any", "critical")
    assert point.chi1 == pytest.approx(1.0, abs=1e-9)
    assert point.q_star == pytest.approx(2.0)
    assert point.xi_c is None


def test_linear_is_critical_at_one() -> None:
    assert fixed_point("linear", 1.0, 0.0).phase == "critical"
    assert fixed_point("linear", 0.9, 0.0).kind == "zero"
    assert fixed_point("linear", 1.1, 0.0).kind == "infinite"


def test_tanh_reference_point() -> None:
    point = fixed_point("tanh", 1.761, 0.05)
    assert point.q_star == pytest.approx(0.570, abs=1e-3)
    assert point.chi1 == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
@pytest.mark.parametrize(("w", "b"), [(0.8, 0.1), (1.7, 0.3), (9.0, 0.05)])
def test_a_finite_fixed_point_maps_to_itself(name: str, w: float, b: float) -> None:
    point = fixed_point(name, w, b)
    if point.kind == "finite":
        assert point.q_star is not None
        assert length_map(name, point.q_star, w, b) == pytest.approx(point.q_star, rel=1e-9)
        assert point.chi1 == pytest.approx(chi(name, point.q_star, w), rel=1e-9)
        found = correlation_map(name, point.c_star, point.q_star, w, b)
        assert found == pytest.approx(point.c_star, abs=2e-3)
    else:
        assert point.kind == "infinite"
        assert length_path(name, w + b, w, b, 400)[-1] > math.log(100 * (w + b))


@pytest.mark.parametrize("name", ["tanh", "gelu", "selu", "softplus"])
def test_iteration_arrives_at_the_fixed_point(name: str) -> None:
    point = fixed_point(name, 1.2, 0.1)
    assert point.q_star is not None
    last = length_path(name, 1.3, 1.2, 0.1, 500)[-1]
    assert last == pytest.approx(math.log(point.q_star), abs=1e-9)


def test_chaos_separates_inputs_and_order_merges_them() -> None:
    chaotic = fixed_point("tanh", 4.0, 0.05)
    assert chaotic.phase == "chaotic"
    assert chaotic.q_star is not None
    assert chaotic.c_star < 0.9
    path = correlation_path("tanh", 0.99, chaotic.q_star, 4.0, 0.05, 100)
    assert path[-1] == pytest.approx(chaotic.c_star, abs=1e-4)
    ordered = fixed_point("tanh", 1.0, 0.3)
    assert (ordered.phase, ordered.c_star) == ("ordered", 1.0)
    assert correlation_path("tanh", 0.0, 0.5, 1.0, 0.3, 100)[-1] == pytest.approx(1.0, abs=1e-6)


def test_depth_scales_are_those_of_the_decay() -> None:
    point = fixed_point("tanh", 1.3, 0.2)
    assert point.q_star is not None
    assert point.xi_c is not None
    path = correlation_path("tanh", 0.9, point.q_star, 1.3, 0.2, 60)
    measured = (1 - path[50]) / (1 - path[49])
    assert -1 / math.log(measured) == pytest.approx(point.xi_c, rel=1e-3)
    assert point.trainable_depth == pytest.approx(6 * point.xi_c)
    assert point.xi_q is not None
    lengths = length_path("tanh", 1.2 * point.q_star, 1.3, 0.2, 12)
    gaps = [x - math.log(point.q_star) for x in lengths]
    assert -1 / math.log(gaps[-1] / gaps[-2]) == pytest.approx(point.xi_q, rel=1e-2)


def test_relu_correlation_follows_the_arccosine_kernel() -> None:
    path = correlation_path("relu", 0.0, 2.0, 2.0, 0.0, 20)
    c = 0.0
    for found in path:
        assert found == pytest.approx(c, abs=2e-4)
        c = (math.sqrt(1 - c * c) + (math.pi - math.acos(c)) * c) / math.pi


def test_lengths_far_beyond_float64() -> None:
    path = length_path("linear", 100.0, 100.0, 0.0, 1000)
    assert path[-1] == pytest.approx(1000 * math.log(100.0), rel=1e-12)
    assert length_path("relu", 0.0, 2.0, 0.0, 3) == [-math.inf] * 3
    assert length_path("sigmoid", 0.0, 4.0, 0.0, 2)[-1] == pytest.approx(0.0)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_variances_are_checked(bad: float) -> None:
    with pytest.raises(ValueError, match="sigma_w2"):
        fixed_point("relu", bad, 0.0)
    with pytest.raises(ValueError, match="sigma_b2"):
        length_map("relu", 1.0, 1.0, bad)
