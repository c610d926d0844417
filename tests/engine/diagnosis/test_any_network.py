"""The rules on records of PyTorch's own modules, taken by hooks: the same findings as on ours."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection
from itertools import pairwise

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from layerscope.engine.diagnosis import Evidence, diagnose, undecided, verdict
from layerscope.engine.diagnosis.gathering import gather
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import ForwardStep, passes
from layerscope.engine.execution.provenance import Ailment, Cause, ailments, causes
from layerscope.engine.execution.records import Facts, Record
from layerscope.engine.execution.saturation import derivative_by_autograd, flat_region
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import ACTIVATIONS

CENTRING = (nn.LayerNorm, nn.BatchNorm1d, nn.BatchNorm2d)


def facts(index: int, name: str, module: nn.Module, output: Tensor) -> Facts:
    """What a probe can tell of a module of PyTorch."""
    activation = next((a for a in ACTIVATIONS.values() if a.computes(module)), None)
    role = "activation" if activation else None
    if isinstance(module, nn.Linear | nn.Conv2d):
        role = "linear_map"
    elif isinstance(module, (*CENTRING, nn.RMSNorm)):
        role = "norm"
    return Facts(
        index, name, activation.name if activation else type(module).__name__, role,
        tuple(output.shape), str(output.dtype).removeprefix("torch."),
        unit_axis=1 if output.dim() in (2, 4) else -1,
        centres=isinstance(module, CENTRING),
        flat=flat_region(derivative_by_autograd(module.forward)) if activation else None,
    )  # fmt: skip


def why(name: str, module: nn.Module, x: Tensor, asked: Collection[Ailment]) -> list[Cause]:
    """The causes of what came up in a module's output."""
    names = {f"{name}'s input": x, **own_tensors(name, module)}
    return (
        causes(lambda: module.forward(x), names, tensor="activation", asked=asked) if asked else []
    )


def why_gradient(
    name: str, module: nn.Module, x: Tensor, given: Tensor, asked: Collection[Ailment]
) -> list[Cause]:
    """The causes of what came up in the gradient that a module hands back."""

    def by_input() -> Tensor:
        with torch.enable_grad():
            leaf = x.clone().requires_grad_()
            return torch.autograd.grad(module.forward(leaf), leaf, given)[0]

    names = {f"{name}'s gradient": given, **own_tensors(name, module)}
    return causes(by_input, names, tensor="gradient", asked=asked) if asked else []


def own_tensors(name: str, module: nn.Module) -> dict[str, Tensor]:
    return {f"{name}.{key}": p for key, p in module.named_parameters(recurse=False)}


def recorded(model: nn.Sequential, x: Tensor, loss_of) -> Evidence:
    """One forward and one backward pass, written down by hooks."""
    records: list[Record] = []
    gradients: dict[int, Tensor] = {}
    arguments: dict[int, Tensor] = {}

    def hook(module, inputs, output):
        index, name = len(records), names[module]
        parameters = {n: p.detach() for n, p in module.named_parameters(recurse=False)}
        described = facts(index, name, module, output)
        record = Record.forward(described, output.detach(), parameters, x=inputs[0])
        before = ailments(records[-1].activation) if records else frozenset()
        record.causes += why(name, module, inputs[0], ailments(record.activation) - before)
        records.append(record)
        arguments[index] = inputs[0].detach()
        output.register_hook(lambda gradient: gradients.update({index: gradient}))

    names = {module: name for name, module in model.named_children()}
    handles = [module.register_forward_hook(hook) for module in names]
    loss = loss_of(model(x))
    loss.backward()
    for handle in handles:
        handle.remove()
    for record, module in zip(records, names, strict=True):
        own = {n: p.grad for n, p in module.named_parameters(recurse=False) if p.grad is not None}
        record.backward(gradients.get(record.facts.index), own)
    for record, after in pairwise(records):
        given = gradients.get(after.facts.index)
        if given is None or record.gradient is None:
            continue
        module, x = model.get_submodule(after.facts.name), arguments[after.facts.index]
        new = ailments(record.gradient) - ailments(after.gradient)
        record.causes += why_gradient(after.facts.name, module, x, given, new)
    return Evidence(records, float(loss.detach()))


def twin(experiment: Experiment) -> tuple[nn.Sequential, Network]:
    """The experiment's network as a plain nn.Sequential of the same weights."""
    network = Network(experiment)
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for step in passes(network):
        if not isinstance(step, ForwardStep):
            break
        own, width = step.layer.parameters, step.output.shape[1]
        if step.layer.role == "linear_map":
            module = nn.Linear(*own["weight"].shape)
            module.weight.data, module.bias.data = own["weight"].t().clone(), own["bias"].clone()
        elif step.layer.role == "norm":
            norms = {"layer_norm": nn.LayerNorm, "batch_norm": nn.BatchNorm1d}
            module = norms[step.info.kind](width, dtype=experiment.torch_dtype)
        else:
            layer = type(step.layer)
            module = layer.torch_modules[0](**dict(layer.torch_settings))
        modules[step.info.name] = module
    return nn.Sequential(modules), network


CASES = [
    Experiment(depth=8),
    Experiment(activation="linear", init="normal"),
    Experiment(init="kaiming_normal", init_scale=1.5),
    Experiment(init="normal", init_scale=0.1),
    Experiment(activation="linear", init="normal", init_scale=0.01),
    Experiment(activation="tanh", init="lecun_normal", init_scale=3),
    Experiment(activation="sigmoid", init="xavier_normal", depth=20),
    Experiment(init="zeros", depth=10),
    Experiment(init="constant", depth=4),
    Experiment(activation="tanh", init="lecun_normal", init_scale=0.5, bias_std=0.5),
    Experiment(activation="hardtanh", init="normal", depth=5),
    Experiment(activation="relu", bias_std=5, init_scale=0.01, depth=4),
    Experiment(activation="linear", init="normal", depth=2),
    Experiment(activation="sigmoid", init="lsuv", init_scale=0.02, depth=1),
    Experiment(activation="gelu", norm="layer", depth=6),
    Experiment(activation="relu", norm="batch", depth=30, init="normal"),
    Experiment(activation="tanh", batch=1, depth=3, dtype="float64"),
    Experiment(activation="linear", init="lecun_normal", init_scale=2.0, dtype="float16"),
]


def flat(findings):
    return [f for root in findings for f in (root, *root.consequences)]


def renamed(text, theirs, ours):
    """With our layers' kinds in the place of PyTorch's."""
    pairs = {a.facts.kind: b.facts.kind for a, b in zip(theirs.records, ours.records, strict=True)}
    for kind, own in pairs.items():
        text = text.replace(f"{kind} ", f"{own} ")
    return text


@pytest.mark.slow
@pytest.mark.parametrize("experiment", CASES, ids=lambda e: str(e.to_query()))
def test_a_plain_sequential_gives_the_same_findings(experiment):
    model, network = twin(experiment)
    criterion = nn.MSELoss() if not network.loss.classifies else nn.CrossEntropyLoss()
    theirs = recorded(model, network.x, lambda out: criterion(out, network.target))
    theirs = Evidence(theirs.records, theirs.loss, network.loss.baseline(network.target))
    ours = gather(experiment)
    # A look at anyone's network takes no steps.
    unmoved = [
        replace(r, stays_alike=None, gradient_comes=None, without_gradient=None)
        for r in ours.records
    ]
    ours = Evidence(unmoved, ours.loss, ours.baseline)
    found, expected = flat(diagnose(theirs)), flat(diagnose(ours))
    assert [f.rule for f in found] == [f.rule for f in expected]
    for a, b in zip(found, expected, strict=True):
        for name in ("severity", "direction", "modules", "layers", "blocks", "title"):
            assert getattr(a, name) == getattr(b, name), name
        assert renamed(a.explanation, theirs, ours) == b.explanation
        assert a.threshold == b.threshold
        assert a.evidence.keys() == b.evidence.keys()
        for name, value in b.evidence.items():
            same = pytest.approx(value, rel=1e-2) if isinstance(value, float) else value
            assert a.evidence[name] == same, name
    assert undecided(theirs) == undecided(ours)
    assert verdict(theirs, found).title == verdict(ours, expected).title
    assert (theirs.depth, theirs.batch) == (experiment.depth, experiment.batch)


@pytest.mark.slow
def test_the_cases_fail_in_every_way_that_needs_no_second_run():
    rules = {f.rule for e in CASES for f in flat(diagnose(gather(e)))}
    assert rules >= {
        "nonfinite", "exploding_activation", "vanishing_activation", "exploding_gradient",
        "vanishing_gradient", "dead_units", "saturation", "symmetry", "rank_collapse",
        "output_scale", "mean_shift",
    }  # fmt: skip


def test_a_convolutional_network_is_counted_by_channels():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(64, 2),
    )  # fmt: skip
    with torch.no_grad():
        model[0].bias[:4] = -100.0  # four of six channels never fire
        model[2].weight[:] = model[2].weight[:1]
        model[2].bias.zero_()
        model[5].weight[:] = model[5].weight[0, 0]
    evidence = recorded(model, torch.randn(40, 1, 8, 8), lambda out: out.square().mean())
    first, second = evidence.records[1], evidence.records[3]
    assert (first.units.batch, first.units.width, first.units.dead) == (40, 6, 4)
    assert [len(block) for block in evidence.blocks] == [2, 3, 1]
    assert evidence.depth == 2
    assert second.units.width == 4
    found = {f.rule: f for f in flat(diagnose(evidence))}
    assert found["dead_units"].evidence["worst_share"] == pytest.approx(4 / 6)
    assert found["dead_units"].modules == ("1",)
    assert found["symmetry"].modules == ("2",)
    assert second.saturation is not None


def test_tokens_are_counted_by_features():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3))
    evidence = recorded(model, torch.randn(32, 7, 5), lambda out: out.square().mean())
    assert [(r.units.batch, r.units.width) for r in evidence.records[:3]] == [(32, 16)] * 3
    assert [r.activation.count for r in evidence.records] == [32 * 7 * 16] * 3 + [32 * 7 * 3]
    assert all(r.gradient is not None for r in evidence.records)
    assert evidence.records[0].parameters["weight"].gradient is not None
    assert not [f for f in diagnose(evidence) if f.severity == "error"]
    assert math.isclose(evidence.loss, evidence.records[-1].activation.rms ** 2, rel_tol=1e-5)
