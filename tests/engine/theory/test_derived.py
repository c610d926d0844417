"""Settings whose theory was once missing, against simulation."""

import pytest

from tests.simulation import assert_theory_is_simulated


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"activation": "relu", "init": "kaiming_normal", "residual": True, "depth": 8,
         "loss": "mae"},
        {"activation": "softplus", "residual": True},
        {"activation": "gelu", "init_scale": 1.4, "residual": True, "branch_scale": 0.5},
    ],
    ids=str,
)  # fmt: skip
def test_gradients_of_residual_streams_with_a_mean(change):
    assert_theory_is_simulated(change)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"activation": "sigmoid", "bias_std": 0.3},
        {"activation": "relu", "residual": True},
        {"norm": "layer"},
    ],
    ids=str,
)
def test_zeros(change):
    assert_theory_is_simulated({"init": "zeros", "width": 50, **change})
