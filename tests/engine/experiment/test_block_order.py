"""Blocks that end in their linear layer: the same engine, script, cost, rules and training."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from layerscope.engine.analyses.correlations import correlations
from layerscope.engine.analyses.spectrum import block_matrices, jacobian_spectra
from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.gathering import gather
from layerscope.engine.diagnosis.run import result
from layerscope.engine.execution.memory import moments
from layerscope.engine.execution.network import Network, layout
from layerscope.engine.execution.passes import ForwardStep, passes
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.maps.measuring import reading
from layerscope.engine.theory.experiments import predict_experiment
from layerscope.engine.training import Trainer, Training

LAST = {"block_order": "linear_last"}
SMALL = Experiment(depth=3, width=12, batch=8, inputs=9, **LAST)
VARIANTS = [
    {},
    {"residual": True},
    {"residual": True, "inputs": None, "norm": "layer"},
    {"norm": "batch", "activation": "tanh", "residual": True},
    {"norm": "rms", "norm_gain": 0.5, "activation": "sigmoid"},
    {"activation": "linear", "residual": True, "inputs": None},
    {"activation": "linear", "norm": "layer", "residual": True, "branch_scale": 0.5},
    {"depth": 1, "norm": "layer", "residual": True, "inputs": None},
]


def changed(change, **more):
    return Experiment.model_validate({**SMALL.to_dict(), **change, **more})


def test_a_block_is_norm_activation_linear_sum():
    told = layout(changed({"residual": True, "norm": "layer", "depth": 2}))
    assert [(i.name, i.block, i.n_in, i.shape[1], i.source, i.ends_block) for i in told] == [
        ("layer_norm1", 1, 9, 9, None, False),
        ("relu1", 1, 9, 9, None, False),
        ("linear1", 1, 9, 12, None, True),
        ("layer_norm2", 2, 12, 12, None, False),
        ("relu2", 2, 12, 12, None, False),
        ("linear2", 2, 12, 12, None, False),
        ("add2", 2, 12, 12, 2, True),
        ("linear3", 3, 12, 1, None, True),
    ]
    first = layout(changed({"residual": True, "inputs": None}))
    assert [i.source for i in first if i.kind == "add"] == [-1, 2, 5]


@pytest.mark.parametrize("change", VARIANTS, ids=str)
def test_names_are_unique_and_blocks_are_whole(change):
    own = changed(change)
    infos = layout(own)
    assert len({i.name for i in infos}) == len(infos)
    assert sum(i.ends_block for i in infos) == own.depth + 1
    assert Network(own).starts == {
        next(i.index for i in infos if i.block == block) for block in range(1, own.depth + 2)
    }


@pytest.mark.parametrize("change", VARIANTS, ids=str)
def test_gradients_equal_autograds(change):
    told = result(changed(change, dtype="float64"), fixes=False)["check"]
    assert told["autograd_max_relative_error"] < 1e-9


def test_the_forward_pass_is_the_papers():
    """x + W φ(norm x), written out."""
    own = changed({"residual": True, "norm": "layer", "inputs": None, "dtype": "float64"})
    network = Network(own)
    weights, output = [], None
    for step in passes(network):
        if isinstance(step, ForwardStep):
            if step.info.role == "linear_map":
                weights.append(dict(step.layer.parameters))
            output = step.output.clone()
    x = network.x
    for p in weights[:-1]:
        x = x + F.relu(F.layer_norm(x, (12,))) @ p["weight"] + p["bias"]
    torch.testing.assert_close(output, x @ weights[-1]["weight"] + weights[-1]["bias"])


def test_of_linear_layers_alone_both_orders_are_one_network():
    own = {"activation": "linear", "residual": True}
    first, last = (
        result(changed(own, block_order=order), check=False, fixes=False)
        for order in ("linear_first", "linear_last")
    )
    assert first["layers"] == last["layers"]
    assert first["findings"] == last["findings"]


@pytest.mark.parametrize("change", [c for c in VARIANTS if c.get("norm") != "batch"], ids=str)
def test_the_derivative_of_a_block_is_autograds(change):
    """At one sample; with batch norm none has a derivative of its own."""
    own = changed(change, dtype="float64")
    matrices, kept = block_matrices(own), []
    for step in passes(Network(own)):
        if isinstance(step, ForwardStep):
            kept.append((step.info, step.layer, step.x[:1].clone()))
    for block, matrix in enumerate(matrices, 1):
        within = [(layer, x) for info, layer, x in kept if info.block == block]

        def run(x, within=within):
            y = x
            for layer, _ in within:
                y = layer.torch_forward(y, layer.parameters, x)
            return y

        jacobian = torch.autograd.functional.jacobian(run, within[0][1])[0, :, 0, :]
        torch.testing.assert_close(matrix, jacobian.t())
    assert len(matrices) == own.depth


def test_theory_says_that_it_has_none():
    own = changed({"activation": "tanh"})
    said = "no theory for this setting: blocks that end in their linear layer"
    assert predict_experiment(own).reason == said
    assert correlations(own).reason == said
    assert (
        "blocks that end in their linear layer"
        in jacobian_spectra(changed({"activation": "tanh", "inputs": None})).theory_reason
    )


@pytest.mark.parametrize("change", VARIANTS, ids=str)
def test_all_blocks_behind_the_third_take_as_much_memory(change):
    """What is known of a network of 12 from its first three, against each of the 12 looked at."""
    deep = changed(change, depth=12)
    told = list(moments(deep, recorded=True))
    short = list(moments(changed(change, depth=3), recorded=True))
    ends = [m.kept for m in short if m.info.ends_block]
    assert told[-1].kept - short[-1].kept == 9 * (ends[-3] - ends[-4])
    assert ends[-3] > ends[-4]


@pytest.mark.parametrize("change", VARIANTS, ids=str)
def test_a_training_learns_and_goes_on(change):
    trainer = Trainer(changed(change, batch=32), Training(learning_rate=0.01))
    losses = [trainer.advance(record=n == 0).loss for n in range(40)]
    assert losses[-1] < losses[0]


def test_a_finding_names_the_block_where_it_is():
    """Of 30 blocks, those of NaN: by the layout's own numbers."""
    told = result(
        Experiment(depth=30, init="normal", activation="linear", norm="none", **LAST,
                   dtype="float16"), check=False, fixes=False,
    )  # fmt: skip
    found = told["findings"][0]
    first = next(x for x in told["layers"] if x["activation"]["finite"] < x["activation"]["count"])
    assert found["blocks"][0] == first["block"]


def test_the_stream_is_what_a_block_hands_on():
    """Its growth is seen, which the norm before each linear layer hides."""
    own = Experiment(depth=12, residual=True, norm="layer", init_scale=8.0, **LAST)
    evidence = gather(own)
    assert [r.facts.kind for r in evidence.block_outputs] == ["add"] * 12
    assert [r.facts.kind for r in evidence.unit_outputs] == ["relu"] * 12
    assert [evidence.block(r) for r in evidence.hidden_linear_maps] == list(range(1, 13))
    alone = Evidence(evidence.records)
    stream, hidden = ([r.activation.rms for r in e.block_outputs] for e in (evidence, alone))
    assert stream == sorted(stream)
    assert stream[-1] > 2.5 * stream[0]
    assert max(hidden[:-1]) < 1.1 * min(hidden[:-1])


def test_units_that_are_dead_are_the_activations():
    dead = Experiment(depth=6, bias_mean=-30.0, batch=64, **LAST)
    found = [f for f in _every(result(dead, check=False, fixes=False)) if f["rule"] == "dead_units"]
    assert found
    assert found[0]["modules"][0] == "relu2"
    assert found[0]["blocks"][0] == 2
    share = reading(dead, None, "dead_share").number
    assert share > 0.7
    assert reading(Experiment(depth=6, **LAST), None, "dead_share").number < 0.2


def _every(told):
    return [g for f in told["findings"] for g in (f, *f.get("consequences", ()))]


def test_large_biases_are_those_of_the_linear_map():
    told = _every(result(Experiment(depth=6, bias_std=20.0, **LAST), check=False, fixes=False))
    found = next(f for f in told if f["rule"] == "large_bias")
    assert all(name.startswith("linear") for name in found["modules"])


@pytest.mark.parametrize("change", VARIANTS, ids=str)
def test_healthy_blocks_are_not_accused(change):
    """By the same standard as blocks in the usual order: with a norm and a sum, or a few blocks."""
    own = changed(change, width=64, batch=64, seed=1)
    told = result(own, check=False, fixes=False)["findings"]
    usual = Experiment.model_validate({**own.to_dict(), "block_order": "linear_first"})
    rules = {f["rule"] for f in result(usual, check=False, fixes=False)["findings"]}
    assert {f["rule"] for f in told if f["severity"] != "info"} <= rules


def test_a_layer_without_gradient_gets_one_or_not():
    """An output layer of zeros: nothing comes at first; after some steps it does."""
    found = gather(Experiment(depth=3, width=16, batch=32, output_scale=0.0, **LAST))
    silent = [r for r in found.records if r.gradient_comes is not None]
    assert [r.facts.name for r in silent] == ["linear1", "linear2", "linear3"]
    assert all(r.gradient_comes for r in silent)
