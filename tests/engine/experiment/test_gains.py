"""γ of the norms, the scale of residual branches, a gain for each layer: networks and theory."""

from __future__ import annotations

import pytest
import torch

from layerscope.engine.analyses.correlations import correlations
from layerscope.engine.analyses.phase_diagram import phase_diagram, sigma_w
from layerscope.engine.analyses.spectrum import block_matrices, jacobian_spectra
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.diagnosis.run import result
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import ForwardStep, passes
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import Normalization
from layerscope.engine.theory.experiments import predict_experiment
from tests.simulation import assert_theory_is_simulated

SMALL = Experiment(depth=3, width=12, batch=8, inputs=9)


def changed(change, **more):
    return Experiment.model_validate({**SMALL.to_dict(), **change, **more})


def steps(experiment):
    """Every layer with its output, in order."""
    found = []
    for step in passes(Network(experiment)):
        if isinstance(step, ForwardStep):
            found.append((step.info, step.layer, step.output.clone()))
    return found


GAINS = [
    {"norm": "layer", "norm_gain": 0.3},
    {"norm": "batch", "norm_gain": 2.0, "residual": True},
    {"norm": "rms", "norm_gain": 0.0, "activation": "sigmoid"},
    {"residual": True, "branch_scale": 0.2, "inputs": None},
    {"residual": True, "branch_scale": 0.0},
    {"layer_gains": "30,1", "activation": "tanh"},
    {"layer_gains": "0.5,2,0,1", "residual": True, "branch_scale": 0.3, "output_scale": 0.1},
]


@pytest.mark.parametrize("change", GAINS, ids=str)
def test_gradients_equal_autograds(change):
    told = result(changed(change, dtype="float64"), fixes=False)["check"]
    assert told["autograd_max_relative_error"] < 1e-9


@pytest.mark.parametrize("norm", ["layer", "batch", "rms"])
def test_the_gain_of_a_norm_multiplies_what_leaves_it(norm):
    """Of the first block alone: later ones have another input."""
    before, after = steps(changed({"norm": norm})), steps(changed({"norm": norm}, norm_gain=0.25))
    kinds = [info.kind for info, _, _ in before[:3]]
    assert kinds == ["linear", f"{norm}_norm", "relu"]
    assert torch.equal(before[0][2], after[0][2])
    for i in (1, 2):
        assert torch.equal(before[i][2] * 0.25, after[i][2])
    gains = [step[1].parameters["weight"] for step in after if isinstance(step[1], Normalization)]
    assert len(gains) == SMALL.depth
    assert all(torch.equal(g, torch.full_like(g, 0.25)) for g in gains)


def test_without_a_norm_its_gain_changes_nothing():
    for (_, _, a), (_, _, b) in zip(steps(SMALL), steps(changed({}, norm_gain=0.5)), strict=True):
        assert torch.equal(a, b)


def test_with_zero_gamma_a_residual_stream_is_its_input():
    told = steps(changed({"inputs": None, "residual": True, "norm": "layer", "norm_gain": 0.0}))
    sums = [output for info, _, output in told if info.kind == "add"]
    assert len(sums) == SMALL.depth
    x = Network(changed({"inputs": None})).x
    assert all(torch.equal(output, x) for output in sums)


def test_the_derivative_at_one_sample_has_the_gain():
    """The layer's own, by its stated derivative, against autograd's."""
    plain = changed({"norm": "layer", "norm_gain": 0.5, "activation": "tanh", "dtype": "float64"})
    matrices = block_matrices(plain)
    layers = steps(plain)

    def block(x):
        y = x
        for info, layer, _ in layers:
            if info.block == 1:
                y = layer.torch_forward(y, layer.parameters, x)
        return y

    x = Network(plain).x[:1]
    jacobian = torch.autograd.functional.jacobian(block, x)[0, :, 0, :]  # (n_out, n_in)
    torch.testing.assert_close(matrices[0], jacobian.t())


def weights(experiment):
    """Of every linear layer, in order."""
    linear = [layer for info, layer, _ in steps(experiment) if info.role == "linear_map"]
    return [layer.parameters["weight"] for layer in linear]


def test_a_branch_scale_is_of_the_blocks_with_a_sum():
    residual = {"residual": True, "branch_scale": 0.25}
    for inputs, summed in ((9, (2, 3)), (12, (1, 2, 3))):
        own = {"inputs": inputs}
        both = weights(changed(own, residual=True)), weights(changed(own, **residual))
        for block, (a, b) in enumerate(zip(*both, strict=True), 1):
            assert torch.equal(a * 0.25 if block in summed else a, b), (inputs, block)
    plain = zip(weights(SMALL), weights(changed({}, branch_scale=0.25)), strict=True)
    assert all(torch.equal(a, b) for a, b in plain)


@pytest.mark.parametrize(
    ("text", "gains"),
    [("", (1, 1, 1, 1)), ("4", (4, 4, 4, 4)), ("4, 1", (4, 1, 1, 1)), ("1,1,0.5", (1, 1, 0.5, 0.5)),
     ("0,2,4,8", (0, 2, 4, 8))],
)  # fmt: skip
def test_the_last_gain_is_of_all_layers_that_follow(text, gains):
    both = weights(SMALL), weights(changed({"layer_gains": text}))
    for gain, a, b in zip(gains, *both, strict=True):
        assert torch.equal(a * gain, b)
    assert changed({"layer_gains": text}).weight_gains == gains


def test_gains_leave_biases_as_they_are():
    own = {"bias_std": 0.5, "residual": True, "inputs": None}
    both = steps(changed(own)), steps(changed(own, layer_gains="3", branch_scale=0.5))
    for (_, a, _), (_, b, _) in zip(*both, strict=True):
        if "bias" in a.parameters:
            assert torch.equal(a.parameters["bias"], b.parameters["bias"])


@pytest.mark.parametrize(
    ("typed", "kept"),
    [(" 30, 1 ", "30,1"), ("30.0,1e0", "30,1"), (".5,1e-3", "0.5,0.001"), ("  ", ""),
     ("100,0", "100,0"), ("0.1000", "0.1")],
)  # fmt: skip
def test_one_text_stands_for_the_same_gains(typed, kept):
    told = Experiment.from_strings([("layer_gains", typed)])
    assert told.layer_gains == kept
    assert told == Experiment.from_json({"layer_gains": kept}) == Experiment(layer_gains=typed)
    assert hash(told) == hash(Experiment(layer_gains=kept))
    assert Experiment.from_strings(told.to_query().items()) == told
    assert Experiment.from_json(told.to_dict()) == told
    assert ("layer_gains" in told.to_query()) == (kept != "")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("30,x,1", "'x', number 2 of 3, is none of them"),
        ("1,-2", "'-2', number 2 of 2, is none of them"),
        ("101", "'101', number 1 of 1, is none of them"),
        ("1,,2", "number 2 is missing"),
        ("1 2", "'1 2', number 1 of 1, is none of them"),
        ("1e999", "'1e999', number 1 of 1, is none of them"),
    ],
)
def test_what_is_no_gain_is_named(typed, said):
    with pytest.raises(InvalidParameters) as refused:
        Experiment.from_strings([("layer_gains", typed)])
    (error,) = refused.value.errors
    assert error["field"] == "layer_gains"
    assert error["message"] == f"{Experiment.expectation('layer_gains')}; {said}"
    assert error["value"] == typed


def test_there_are_no_more_gains_than_layers():
    assert changed({"layer_gains": "1,2,3,4"}).layer_gains == "1,2,3,4"
    with pytest.raises(InvalidParameters) as refused:
        Experiment.from_strings([("depth", "3"), ("layer_gains", "1,2,3,4,5")])
    (error,) = refused.value.errors
    assert (error["field"], error["value"]) == ("layer_gains", "1,2,3,4,5")
    assert error["message"].startswith("expected at most 4 numbers")
    with pytest.raises(InvalidParameters, match="expected at most 2 numbers"):
        changed({"layer_gains": "1,2,3,4"}).changed({"depth": 1})


def test_json_takes_gains_as_text_alone():
    for value in (30, [30, 1], None, True):
        with pytest.raises(InvalidParameters, match="expected text"):
            Experiment.from_json({"layer_gains": value})


def test_a_layers_gain_is_in_every_figure_of_the_plane():
    """One gain for all hidden layers is an init scale; different ones are no point of it."""
    tanh = {"activation": "tanh", "init": "lecun_normal", "depth": 6}
    scaled = Experiment(**tanh, init_scale=1.5)
    gained = Experiment(**tanh, layer_gains="1.5")
    assert sigma_w(gained) == pytest.approx(sigma_w(scaled))
    assert phase_diagram(gained).point == phase_diagram(scaled).point
    for name in ("chi1", "q_star", "c_star", "phase"):
        told, want = (getattr(predict_experiment(e), name) for e in (gained, scaled))
        assert told == (pytest.approx(want) if isinstance(want, float) else want)
    mixed = phase_diagram(Experiment(**tanh, layer_gains="1,2,3"))
    assert (mixed.point, mixed.sigma_w) == (None, None)
    assert "different gains" in mixed.reason
    first = Experiment(**tanh, layer_gains="30,1.5")
    assert sigma_w(first) == pytest.approx(1.5)
    assert predict_experiment(first).q_star == pytest.approx(predict_experiment(scaled).q_star)


def test_correlations_and_spectra_have_the_gains():
    tanh = {"activation": "tanh", "init": "lecun_normal", "depth": 4, "width": 64, "batch": 4}
    told = correlations(Experiment(**tanh, layer_gains="2,1,0.5,1"))
    for path in told.paths:
        assert path.mean == pytest.approx(path.theory, abs=0.1)
    scaled = jacobian_spectra(Experiment(**tanh, init_scale=1.5))
    gained = jacobian_spectra(Experiment(**tanh, layer_gains="1.5"))
    assert gained.theory.keys() == scaled.theory.keys()
    for scheme, expected in scaled.theory.items():
        for one, other in zip(gained.theory[scheme], expected, strict=True):
            assert one == pytest.approx(other)
    for one, other in zip(gained.schemes["gaussian"], scaled.schemes["gaussian"], strict=True):
        assert one.log10_values == pytest.approx(other.log10_values)


THEORY = [
    {"norm": "layer", "norm_gain": 0.5},
    {"norm": "rms", "norm_gain": 3.0, "activation": "relu"},
    {"norm": "layer", "norm_gain": 0.4, "residual": True, "activation": "gelu"},
    {"norm": "layer", "norm_gain": 0.0, "residual": True},
    {"norm": "layer", "norm_gain": 0.0, "activation": "sigmoid", "init": "pytorch_default"},
    {"norm": "batch", "norm_gain": 2.0, "batch": 64},
    {"residual": True, "branch_scale": 0.5},
    {"residual": True, "branch_scale": 0.0, "bias_std": 0.2},
    {"residual": True, "branch_scale": 0.25, "norm": "layer", "inputs": 100},
    {"layer_gains": "30,1"},
    {"layer_gains": "0.2,3,1,2"},
    {"layer_gains": "1,0,1", "bias_std": 0.3},
]


@pytest.mark.slow
@pytest.mark.parametrize("change", THEORY, ids=str)
def test_theory_equals_simulation(change):
    assert_theory_is_simulated(change)


def test_theory_of_a_gain_is_told_behind_the_norm():
    half = predict_experiment(Experiment(norm="layer", norm_gain=0.5, activation="tanh"))
    assert half.q_star == pytest.approx(0.25)
    none = predict_experiment(Experiment(norm="layer", norm_gain=0.0))
    assert (none.q_star, none.chi1) == (0.0, 0.0)
    batch = predict_experiment(Experiment(norm="batch", norm_gain=0.5))
    usual = predict_experiment(Experiment(norm="batch"))
    assert batch.chi1 == pytest.approx(usual.chi1, rel=0.02)  # ReLU: the scale divides out
    assert "γ²" in batch.chi1_is


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "fix"),
    [
        ({"norm": "layer", "norm_gain": 0.0}, {"norm_gain": 1.0}),
        (
            {"residual": True, "branch_scale": 60.0, "activation": "tanh", "init": "lecun_normal"},
            {"branch_scale": 1.0},
        ),
        ({"layer_gains": "1,0,1"}, {"layer_gains": ""}),
    ],
    ids=str,
)
def test_what_is_hardly_meant_is_set_back_first(change, fix):
    told = result(Experiment(depth=6, **change), check=False)
    assert told["findings"][0]["fix"] == fix
