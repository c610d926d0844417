"""Levels through the blocks: where they are cut, and what float64 can't hold."""

import numpy as np
import pytest

from layerscope.engine.theory.orbit import FixedNetwork, TooLarge, law_of, orbit


def network(**change):
    usual = {
        "activation": "tanh", "fans": [(20, 20)] * 6 + [(20, 1)], "values": [5.0] * 7,
        "diagonal": True, "batch": 8, "residual": False, "normal": (0.0, 1.0), "population": None,
        "loss": "mse", "log_gain": 0.0, "dtype": "float32",
    }  # fmt: skip
    return FixedNetwork(**usual | change)


def test_levels_that_blocks_tear_apart_are_cut_there():
    net = network()
    law = law_of(net)
    last = orbit(net, law.levels)[-1].out
    inside = np.sort(np.abs(last[:-1]))
    assert (inside < 0.5 * inside.max()).sum() > 20  # between −5 and 5, which one panel would span
    plain = law_of(network(activation="relu"))
    assert len(plain.levels) < len(law.levels)


def test_a_homogeneous_activation_never_overflows():
    net = network(activation="relu", values=[1e200] * 7)
    last = orbit(net, law_of(net).levels)[-1]
    assert np.isfinite(last.out).all()
    assert last.log == pytest.approx(7 * np.log(1e200), rel=0.01)


def test_one_that_is_not_says_so():
    net = network(activation="gelu", values=[1e60] * 7)
    with pytest.raises(TooLarge):
        orbit(net, law_of(net).levels)


def test_what_goes_in_is_asked_for():
    with pytest.raises(ValueError, match="got neither"):
        law_of(network(normal=None))
