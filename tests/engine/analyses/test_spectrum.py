"""Block matrices against finite differences, spectra against what is known of them."""

from __future__ import annotations

import json
import math
from functools import reduce
from statistics import fmean

import pytest
import torch
from torch import Tensor

from layerscope.engine.analyses import AnalysisUndefined
from layerscope.engine.analyses.phase_diagram import sigma_w
from layerscope.engine.analyses.spectrum import block_matrices, jacobian_spectra
from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import ForwardStep, passes
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.theory.spectrum import JacobianSpectrum


def output(experiment: Experiment, x: Tensor) -> Tensor:
    """What the last hidden block makes of ``x``."""
    network = Network(experiment)
    network.x = x
    steps = (s for s in passes(network) if isinstance(s, ForwardStep))
    ends = {s.info.block: s.output for s in steps}
    return ends[experiment.depth]


@pytest.mark.parametrize("norm", ["none", "layer", "rms"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "linear", "gelu"])
def test_matrices_are_the_networks_derivatives(norm: str, residual: bool, activation: str) -> None:
    e = Experiment(
        depth=3, width=6, batch=3, norm=norm, residual=residual, activation=activation,
        bias_std=0.1, dtype="float64",
    )  # fmt: skip
    x = Network(e).x
    product = reduce(torch.matmul, block_matrices(e))  # (n_in, n_out)
    step = 1e-6
    for i in range(6):
        moved = x.clone()
        moved[0, i] += step
        back = x.clone()
        back[0, i] -= step
        slope = (output(e, moved)[0] - output(e, back)[0]) / (2 * step)
        assert torch.allclose(slope, product[i], rtol=1e-5, atol=1e-8)


def test_orthogonal_keeps_together_what_gaussian_spreads() -> None:
    found = jacobian_spectra(
        Experiment(depth=20, width=30, batch=4, activation="linear", init_scale=0.7)
    )
    assert found.exact
    for depth, s in zip(found.depths, found.schemes["orthogonal"], strict=True):
        assert isinstance(s, JacobianSpectrum)
        # kaiming_normal at 0.7 has σw = 0.7·√2
        expected = depth * math.log10(0.7 * math.sqrt(2))
        assert s.log10_values == pytest.approx([expected] * 30, abs=1e-6)
    gaussian = found.schemes["gaussian"][-1]
    assert isinstance(gaussian, JacobianSpectrum)
    assert gaussian.log10_condition is not None
    assert gaussian.log10_condition > 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "bias_std"), [("tanh", 0.2), ("relu", 0.0), ("linear", 0.0)]
)
def test_the_mean_square_is_that_of_the_theory(activation: str, bias_std: float) -> None:
    e = Experiment(
        depth=8, width=200, batch=2, activation=activation, init="lecun_normal", init_scale=1.2,
        bias_std=bias_std,
    )  # fmt: skip
    found = jacobian_spectra(e)
    for s, theory in zip(found.schemes["gaussian"], found.log10_rms("gaussian"), strict=True):
        assert isinstance(s, JacobianSpectrum)
        rms = 0.5 * math.log10(sum(10 ** (2 * v) for v in s.log10_values) / e.width)
        assert rms == pytest.approx(theory, abs=0.08)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"activation": "tanh", "inputs": 60},
        {"activation": "relu", "inputs": 400},
        {"activation": "gelu", "norm": "rms"},
        {"activation": "tanh", "residual": True},
        {"activation": "relu", "residual": True, "norm": "layer"},
    ],
    ids=str,
)
def test_two_moments_with_norms_sums_and_other_inputs(changes: dict[str, object]) -> None:
    usual = {"depth": 5, "width": 150, "batch": 2, "init": "lecun_normal", "init_scale": 1.2}
    seeds = [
        jacobian_spectra(Experiment.model_validate({**usual, **changes, "seed": seed}))
        for seed in range(6)
    ]
    assert seeds[0].theory_reason is None
    for name, theory in seeds[0].theory.items():
        for place, told in enumerate(theory):
            assert told is not None
            spectra = [each.schemes[name][place] for each in seeds]
            moments = [s.moments() for s in spectra if isinstance(s, JacobianSpectrum)]
            squares = [10 ** (2 * m[0]) for m in moments if m]
            assert 0.5 * math.log10(fmean(squares)) == pytest.approx(told.log10_rms, abs=0.05)
            assert fmean(m[1] for m in moments if m) == pytest.approx(told.dispersion, rel=0.12)


def test_says_where_one_singular_value_leaves_the_others() -> None:
    found = jacobian_spectra(Experiment(residual=True, depth=2, width=10, batch=2))
    assert "gives the residual stream a direction" in (found.theory_reason or "")
    assert found.log10_rms("gaussian") == [None, None]


@pytest.mark.slow
def test_wide_networks_are_estimated_and_say_so() -> None:
    e = Experiment(depth=20, width=300, batch=2, activation="linear", init="orthogonal")
    found = jacobian_spectra(e)
    assert not found.exact
    last = found.to_dict()["schemes"]["orthogonal"]["spectra"][-1]
    assert last["estimated"]
    assert last["log10_largest"] == pytest.approx(0, abs=1e-5)


def test_what_has_no_such_jacobian_is_refused() -> None:
    with pytest.raises(AnalysisUndefined, match="expected none, layer or rms"):
        jacobian_spectra(Experiment(norm="batch", depth=2, width=4))


def test_dead_weights_leave_zeros_alone() -> None:
    found = jacobian_spectra(Experiment(init="zeros", depth=2, width=5, batch=2))
    last = found.schemes["gaussian"][-1]
    assert isinstance(last, JacobianSpectrum)
    assert (last.log10_values, last.zeros) == ((), 5)
    assert found.log10_rms("gaussian") == [None, None]
    json.dumps(found.to_dict(), allow_nan=False)


def test_sigma_w_of_schemes() -> None:
    assert sigma_w(Experiment(init="normal", width=100)) == pytest.approx(10)
    assert sigma_w(Experiment(init="lecun_normal", init_scale=1.3)) == pytest.approx(1.3)
    assert sigma_w(Experiment(init="lsuv")) is None


def test_stops_when_asked() -> None:
    with pytest.raises(Stopped):
        jacobian_spectra(Experiment(depth=3, width=8, batch=2), should_stop=lambda: True)
