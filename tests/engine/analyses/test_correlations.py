"""The correlation of two inputs through depth: measured, and against the c-map."""

from __future__ import annotations

import json

import pytest

from layerscope.engine.analyses.correlations import STARTS, correlations
from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.experiment.specification import Experiment


@pytest.mark.parametrize(
    ("activation", "sigma_w", "bias_std"),
    [("relu", 1.414, 0.0), ("tanh", 0.9, 0.3), ("tanh", 1.5, 0.1), ("gelu", 1.3, 0.1)],
)
def test_wide_networks_follow_the_map(activation: str, sigma_w: float, bias_std: float) -> None:
    e = Experiment(
        depth=8, width=1500, activation=activation, init="lecun_normal", init_scale=sigma_w,
        bias_std=bias_std,
    )  # fmt: skip
    found = correlations(e)
    assert found.reason is None
    assert [p.start for p in found.paths] == list(STARTS)
    for path in found.paths:
        assert path.mean == pytest.approx(path.theory, abs=0.06)
        for low, mean, high in zip(path.low, path.mean, path.high, strict=True):
            assert low is not None
            assert mean is not None
            assert high is not None
            assert low <= mean <= high


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": "layer", "activation": "relu"},
        {"norm": "rms", "activation": "gelu", "bias_std": 0.3},
        {"residual": True, "activation": "tanh"},
        {"residual": True, "activation": "relu", "branch_scale": 0.7},
        {"residual": True, "norm": "layer", "activation": "silu"},
        {"init": "lsuv", "activation": "elu"},
    ],
    ids=str,
)
def test_norms_and_residual_sums_too(changes: dict[str, object]) -> None:
    e = Experiment.model_validate({"depth": 8, "width": 1200, "init": "lecun_normal", **changes})
    found = correlations(e)
    assert found.reason is None
    for path in found.paths:
        assert path.mean == pytest.approx(path.theory, abs=0.04)


def test_the_first_layer_starts_where_the_inputs_were() -> None:
    e = Experiment(depth=1, width=3000, inputs=50, init="xavier_normal", bias_std=0.5)
    for path in correlations(e).paths:
        assert path.mean[0] == pytest.approx(path.theory[0], abs=0.05)


@pytest.mark.parametrize(
    ("changes", "words", "measured"),
    [
        ({"bias_mean": 1.0}, "no theory for this setting: biases of mean 1", True),
        ({"norm": "layer", "width": 4}, "fewer than 8 units", True),
        ({"init": "identity"}, "weights of identity are not drawn", True),
        ({"norm": "batch"}, "batch norm ties all inputs together", False),
        ({"inputs": 1}, "one input feature", False),
        ({"init_scale": 0.0}, "all pre-activations are zero", True),
    ],
)
def test_says_where_there_is_no_theory(
    changes: dict[str, object], words: str, measured: bool
) -> None:
    e = Experiment.model_validate({"depth": 3, "width": 20, **changes})
    found = correlations(e)
    assert words in (found.reason or "")
    assert bool(found.paths) == measured
    assert all(p.theory == () for p in found.paths)
    json.dumps(found.to_dict(), allow_nan=False)


def test_stops_when_asked() -> None:
    with pytest.raises(Stopped):
        correlations(Experiment(depth=3, width=8), should_stop=lambda: True)
