"""Correlations of two inputs against two-dimensional quadrature and the arc-cosine kernel."""

import math

import pytest

from layerscope.engine.theory.meanfield import correlation_path
from layerscope.engine.theory.moments import moment_table
from layerscope.engine.theory.network import network
from layerscope.engine.theory.pairs import NoCorrelation, correlations_through
from layerscope.engine.theory.quadrature import expectation, pair_expectation

SIZES = {"depth": 6, "width": 100, "inputs": 100, "outputs": 1, "batch": 2}


def of(activation, w, **change):
    return network(activation, **SIZES | change, variance=lambda n_in, _: w / n_in)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_a_plain_network_has_the_map_that_is_known(activation):
    found = correlations_through(of(activation, 1.5, biases=lambda _: 0.1), [0.0, 0.6])
    for c, path in zip([0.0, 0.6], found, strict=True):
        start = (1.5 * c + 0.1) / 1.6
        assert path == pytest.approx(
            correlation_path(activation, start, 1.6, 1.5, 0.1, 6), abs=1e-12
        )


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_a_norm_before_relu_iterates_the_arc_cosine_kernel(norm):
    """(√(1 − c²) + c·(π − arccos c))/π, whatever the weights' scale (Cho & Saul 2009)."""
    (path,) = correlations_through(of("relu", 7.0, norm=norm), [0.2])
    c = 0.2
    for told in path:
        assert told == pytest.approx(c, abs=2e-3)
        c = (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / math.pi


@pytest.mark.parametrize("activation", ["tanh", "relu", "softplus"])
def test_residual_blocks_by_quadrature(activation):
    table, w, c = moment_table(activation), 0.8, 0.3
    f, kinks = table.function, table.kinks
    q, both, mean = 1.0, c, 0.0  # of the stream: E[x²], E[x·x̃], E[x]
    (path,) = correlations_through(of(activation, w, residual=True), [c])
    for told in path:
        z = w * q
        assert told == pytest.approx(both / q, abs=2e-3)
        same = float(expectation(lambda u: f(u) ** 2, z, kinks)[0])
        level = float(expectation(f, z, kinks)[0])
        other = pair_expectation(f, f, z, both / q, kinks)
        q, both, mean = (
            q + same + 2 * mean * level, both + other + 2 * mean * level, mean + level,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("net", "why"),
    [
        (of("relu", 0.0), "all pre-activations are zero"),
        (of("relu", 1.0, norm="batch", batch=64), "ties all inputs together"),
    ],
    ids=["zeros", "batch"],
)
def test_where_there_is_none_it_says_why(net, why):
    with pytest.raises(NoCorrelation, match=why):
        correlations_through(net, [0.5])
