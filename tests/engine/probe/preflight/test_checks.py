"""Each of preflight's own checks on the fault and on what only looks like it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from layerscope.engine.diagnosis import RULES
from layerscope.engine.probe.preflight import checks, preflight
from layerscope.engine.probe.preflight.checks import CHECKS
from tests.engine.probe.preflight.networks import (
    CE,
    MSE,
    Functional,
    Residual,
    classes,
    cnn,
    images,
    mlp,
    numbers,
)


def found(model, batch, loss, optimizer=None):
    report = preflight(model, batch, loss, optimizer, fixes=False)
    return {(f.rule, f.severity): f for root in report.findings for f in (root, *root.consequences)}


def test_every_check_is_described():
    for row in CHECKS.describe():
        assert all(row.values()), row


def test_what_a_check_explains_is_a_rule_that_somebody_says():
    calls = [
        node for module in Path(checks.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "subject.finding"
    ]  # fmt: skip
    said = {*RULES, *(ast.literal_eval(call.args[0]) for call in calls)}
    assert "forgotten" not in said  # a check's name, and no rule's
    for check in CHECKS.values():
        assert set(check.explains) <= said, check.name


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(20, 32), nn.Linear(31, 10)

    def forward(self, x):
        return self.second(self.first(x))


def test_an_error_names_the_module_the_shapes_and_the_line():
    finding = found(Broken(), classes(), CE)["failed_pass", "error"]
    assert finding.modules == ("second",)
    assert "(64, 32)" in finding.explanation
    assert "test_checks.py" in finding.evidence["line"]
    assert "self.second(self.first(x))" in finding.evidence["line"]


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (nn.CrossEntropyLoss(weight=torch.ones(3)), "weight"),
        (lambda out, y: out, "one number"),
        (lambda out, y: float(out.sum()), "got float"),
    ],
)
def test_a_loss_that_cannot_be_computed(loss, text):
    finding = found(mlp(), classes(), loss)["failed_pass", "error"]
    assert text in finding.explanation
    assert "(64, 10)" in finding.explanation


class Overwrites(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(20, 20), nn.Linear(20, 10)

    def forward(self, x):
        hidden = self.first(x).exp()
        out = self.second(hidden)
        hidden.add_(1)
        return out


def test_a_backward_pass_that_fails():
    finding = found(Overwrites(), classes(), CE)["failed_pass", "error"]
    assert finding.direction == "backward"
    assert "modified by an inplace operation" in finding.explanation
    assert finding.modules == ("second",)


class Cut(nn.Module):
    def __init__(self, detached, spare=False):
        super().__init__()
        self.first, self.last = nn.Linear(20, 32), nn.Linear(32, 10)
        self.detached = detached
        if spare:
            self.spare = nn.Linear(2, 2)

    def forward(self, x):
        hidden = self.first(x).relu()
        return self.last(hidden.detach() if self.detached else hidden)


def test_layers_that_no_gradient_reaches():
    finding = found(Cut(True), classes(), CE)["no_gradient", "error"]
    assert finding.modules == ("first",)
    assert "between first, whose output" in finding.explanation
    assert not found(Cut(False), classes(), CE)
    spare = found(Cut(False, spare=True), classes(), CE)["no_gradient", "warning"]
    assert spare.modules == ("spare",)


def test_a_loss_without_gradient():
    def loss(out, y):
        return (out.argmax(1) != y).float().mean()

    finding = found(mlp(), classes(), loss)["no_gradient", "error"]
    assert finding.title == "The loss has no gradient"


def test_frozen_on_purpose_and_by_mistake():
    model = mlp()
    model[:6].requires_grad_(False)
    assert list(found(model, classes(), CE)) == [("frozen", "info")]
    model.requires_grad_(False)
    assert ("frozen", "error") in found(model, classes(), CE)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (lambda m: m.parameters(), []),
        (lambda m: m[:6].parameters(), [("frozen", "warning")]),
        (lambda m: m[6:].parameters(), [("frozen", "info")]),
        (lambda m: mlp().parameters(), [("frozen", "error")]),
    ],
)
def test_what_the_optimiser_does_not_know(part, expected):
    model = mlp()
    assert list(found(model, classes(), CE, torch.optim.SGD(part(model), 0.1))) == expected


def test_modes():
    frozen = cnn()
    frozen[1].eval().requires_grad_(False)
    assert {s for _, s in found(frozen, images(), CE)} == {"info"}
    forgotten = cnn()
    forgotten[1].eval()
    assert found(forgotten, images(), CE)["eval_mode", "warning"].modules == ("1",)
    assert not found(mlp().eval(), classes(), CE)  # nothing in it differs


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x: x, False),
        (lambda x: x * 255, True),
        (lambda x: x * 1e-4, True),
        (lambda x: x * torch.logspace(0, 5, 20) / 1e5, True),
        (lambda x: (x > 0).float(), False),
    ],
)
def test_input_scale(change, expected):
    x, y = classes()
    assert (("input_scale", "warning") in found(mlp(), (change(x), y), CE)) is expected


def test_a_norm_that_comes_first_takes_any_scale():
    x, y = classes()
    model = nn.Sequential(nn.BatchNorm1d(20), mlp())
    assert ("input_scale", "warning") not in found(model, (x * 255, y), CE)


def test_values_that_are_none():
    x, y = classes()
    x[3, 4] = torch.nan
    report = preflight(mlp(), (x, y), CE, fixes=False)
    assert report.findings[0].title == "The batch's x holds 1 NaN"
    assert report.findings[0].evidence["entry"] == [3, 4]
    model = mlp()
    model[2].weight.data[0, 0] = torch.inf
    report = preflight(model, classes(), CE, fixes=False)
    assert report.findings[0].title == "2.weight holds NaN or Inf before the first step"


def first_logit(out, y):
    return F.binary_cross_entropy_with_logits(out[:, 0], y.float() / 10)


@pytest.mark.parametrize(
    ("last", "loss", "expected"),
    [
        (nn.Softmax(1), CE, True),
        (nn.Identity(), CE, False),
        (nn.Identity(), nn.NLLLoss(), True),
        (nn.LogSoftmax(1), nn.NLLLoss(), False),
        (nn.Sigmoid(), first_logit, True),
        (nn.Identity(), first_logit, False),
    ],
)
def test_what_a_loss_expects(last, loss, expected):
    said = found(nn.Sequential(mlp(), last), classes(), loss)
    assert (("wrong_loss", "warning") in said) is expected


def test_pairs_that_are_meant_are_no_accident():
    def contrast(out, y):
        apart = (out[:, None] - out[None]).square().sum(-1)
        return apart.mean() + (out @ out.T).mean() ** 2

    assert not [r for r, _ in found(mlp(), classes(), contrast) if r == "wrong_loss"]


def test_targets_that_are_huge_are_no_fault_of_the_network():
    x, y = numbers()
    assert not found(mlp(outputs=1), (x, y * 1000 + 5000), MSE)


def test_activations_that_are_functions_are_seen():
    report = preflight(Functional(), classes(), CE, fixes=False)
    names = [r.facts.name for r in report.records]
    assert names == ["first", "ReLU after first", "second", "ReLU after second", "last"]
    assert report.records[1].facts.role == "activation"


def test_branches_that_begin_as_zero_are_opened_and_all_zeros_are_not():
    assert not found(Residual(), classes(), CE)
    dead = Residual()
    with torch.no_grad():
        for p in dead.parameters():
            p.zero_()
    assert ("symmetry", "error") in found(dead, classes(), CE)


def test_inputs_by_position_and_by_name():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, a, b):
            return self.inner(a + b)

    x, y = classes()
    for given in ((x, x), {"a": x, "b": x}, [x, x]):
        assert not found(Two(), (given, y), CE)


def test_what_float16_would_lose():
    model = mlp()
    with torch.no_grad():
        model[0].weight.mul_(3e5)
    said = found(model, classes(), CE)
    finding = said["precision_loss", "info"]
    assert "float16" in finding.explanation
    assert not [f for f in found(mlp(), classes(), CE) if f[0] == "precision_loss"]
