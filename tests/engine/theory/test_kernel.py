"""The kernel against quadrature in two dimensions, near c = 1 too, as far as its page says."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from layerscope.engine.layers import ACTIVATIONS
from layerscope.engine.theory.kernel import ACCURACY, NEAR_ONE, Kernel
from layerscope.engine.theory.moments import moment_table
from layerscope.engine.theory.quadrature import nodes

CORRELATIONS = (0.0, 0.3, 0.7, 0.9, 0.97, 0.99, 0.997, 0.999, 0.9999)


def exact(name, q, c):
    """E[φ(u)φ(v)]/E[φ²]: Gauss–Legendre over the second Gaussian, split at every kink."""
    function, kinks = ACTIVATIONS[name].function, ACTIVATIONS[name].kinks
    (z,), (w,) = nodes(np.array([q]), tuple(kinks))
    u, total, second = math.sqrt(q) * z, 0.0, 0.0

    def phi(x):
        return function(torch.from_numpy(np.ascontiguousarray(x))).numpy()

    x, weight = np.polynomial.legendre.leggauss(240)
    spread = math.sqrt(1 - c * c)
    for one, share in zip(u, w, strict=True):
        cuts = [(k / math.sqrt(q) - c * one / math.sqrt(q)) / spread for k in kinks]
        ends = [-9.0, *sorted(cut for cut in cuts if -9 < cut < 9), 9.0]
        inner = 0.0
        for a, b in pairwise(ends):
            t = (a + b) / 2 + (b - a) / 2 * x
            density = np.exp(-t * t / 2) / math.sqrt(2 * math.pi)
            v = c * one + spread * math.sqrt(q) * t
            inner += (b - a) / 2 * np.sum(weight * density * phi(v))
        total += share * phi(np.array([one]))[0] * inner
        second += share * phi(np.array([one]))[0] ** 2
    return total / second


@pytest.mark.parametrize("q", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("name", ["relu", "tanh", "hardtanh", "gelu", "relu6"])
def test_it_is_as_exact_as_it_says(name, q):
    table = moment_table(name)
    log_q = math.log(q)
    kernel = Kernel(log_q, table.at(log_q), table.spectrum(log_q))
    for c in CORRELATIONS:
        bound = NEAR_ONE if c > 0.9 else ACCURACY
        assert kernel.at(c).same == pytest.approx(exact(name, q, c), abs=bound), c
