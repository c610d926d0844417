"""The intended distributions: each integrates to one, has the stated variance, and is drawn."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from layerscope.engine.layers.initialization import INITS

pytestmark = pytest.mark.slow


def intended(name, n_in, n_out):
    return INITS[name].intended(n_in, n_out)


CONTINUOUS = [n for n in INITS if intended(n, 300, 200).density is not None]


def density(name, n_in, n_out):
    found = intended(name, n_in, n_out).density
    return lambda w: float(found(torch.tensor(w, dtype=torch.float64)))


def test_every_registered_scheme_is_described():
    for name in INITS:
        found = intended(name, 30, 20)
        assert found.density is not None or found.atoms, name


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("shape", [(300, 200), (20, 300), (5, 5)])
def test_the_density_and_the_atoms_add_up_to_one_and_have_the_variance(name, shape):
    found = intended(name, *shape)
    f = density(name, *shape)
    std = found.std or math.sqrt(1 / max(shape))
    # Breaks at multiples of the std: an adaptive rule would overlook a narrow peak or a bound.
    points = [k * std for k in np.arange(-8, 9, 0.25)]
    mass = sum(integrate.quad(f, a, b)[0] for a, b in pairwise(points))
    second = sum(integrate.quad(lambda w: w * w * f(w), a, b)[0] for a, b in pairwise(points))
    assert mass + sum(a.share for a in found.atoms) == pytest.approx(1, abs=2e-3)
    assert second == pytest.approx(std**2, rel=5e-3)


@pytest.mark.parametrize("name", sorted(set(CONTINUOUS) - {"lsuv"}))
def test_what_is_drawn_follows_the_density(name):
    """A histogram's chi-squared distance: small for the density, large for one 10 % wider."""
    n_in, n_out = 200, 100
    w = INITS[name].draw(n_in, n_out, generator=torch.Generator().manual_seed(1)).double()
    w = w[w != 0].numpy()
    found = intended(name, n_in, n_out)
    smooth = 1 - sum(a.share for a in found.atoms)

    def distance(scale):
        edges = np.linspace(-3, 3, 31) * found.std * scale
        counts, _ = np.histogram(w, edges)
        f = density(name, n_in, n_out)
        at = [integrate.quad(f, a / scale, b / scale)[0] / smooth
              for a, b in pairwise(edges)]  # fmt: skip
        expected = np.array(at) * len(w)
        kept = expected > 5
        return float((((counts - expected) ** 2)[kept] / expected[kept]).sum() / kept.sum())

    assert distance(1.0) < 2.5
    assert distance(1.1) > 5


@pytest.mark.parametrize("name", ["zeros", "constant", "identity", "sparse"])
def test_atoms_are_the_shares_that_are_drawn(name):
    w = INITS[name].draw(40, 30, generator=torch.Generator().manual_seed(0))
    for atom in intended(name, 40, 30).atoms:
        share = float((w == torch.tensor(atom.value)).double().mean())
        assert share == pytest.approx(atom.share, abs=1e-9 if name != "identity" else 0.01)


def test_a_coordinate_of_a_unit_vector_in_three_dimensions_is_uniform():
    """Archimedes: the sphere's height is uniform on [−1, 1]."""
    f = density("orthogonal", 3, 2)
    assert [f(w) for w in (-0.9, 0.0, 0.5)] == pytest.approx([0.5, 0.5, 0.5])
    assert f(1.5) == 0


def test_the_normal_schemes_against_scipy():
    f = density("kaiming_normal", 50, 7)
    for w in (-0.5, 0.0, 0.3):
        assert f(w) == pytest.approx(stats.norm(0, math.sqrt(2 / 50)).pdf(w))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(list(INITS)), st.integers(1, 40), st.integers(1, 40))
def test_every_shape_has_a_finite_density(name, n_in, n_out):
    found = intended(name, n_in, n_out)
    if found.density is not None:
        values = found.density(torch.linspace(-4, 4, 33, dtype=torch.float64))
        assert torch.isfinite(values).all()
        assert (values >= 0).all()


def test_an_unknown_scheme_is_named():
    with pytest.raises(KeyError, match="nothing"):
        intended("nothing", 2, 2)
