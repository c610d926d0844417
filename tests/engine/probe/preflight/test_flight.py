"""Faults and their repaired twins, and healthy networks, through the whole of preflight."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import layerscope
from layerscope.engine.probe.preflight import Report, preflight
from tests.engine.probe.preflight.networks import (
    CE,
    HEALTHY,
    MSE,
    classes,
    cnn,
    drawn,
    images,
    mlp,
    numbers,
)


def accused(report):
    return {f.rule for f in report.findings if f.severity != "info"}


def look(model, batch, loss, optimizer=None, fixes=False):
    return preflight(model, batch, loss, optimizer, fixes)


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_said_of_what_is_healthy(name):
    build, batch, loss = HEALTHY[name]
    report = look(build(), batch(), loss)
    assert report.ok, str(report)
    assert report.records
    assert not report.unseen


def test_it_is_a_name_of_the_package():
    assert layerscope.preflight is preflight
    assert isinstance(look(mlp(), classes(), CE), Report)


def test_a_mild_symptom_of_what_learns_is_a_note():
    def build():
        return mlp(6, 64, nn.GELU)

    assert accused(look(build(), numbers(), of_ten)) == {"vanishing_gradient"}
    report = look(build(), numbers(), of_ten, fixes=True)
    assert [(f.rule, f.severity) for f in report.findings] == [("vanishing_gradient", "info")]
    assert "It learns all the same" in report.findings[0].explanation
    assert report.findings[0].fix_verified


def of_ten(out, y):
    return (out - y.expand(-1, 10)).square().mean()


FAULTS = {
    "exploding": (
        lambda: drawn(mlp(12), lambda w: w.normal_()),
        lambda: drawn(mlp(12), nn.init.kaiming_normal_),
        classes, CE, "exploding_activation",
    ),
    "vanishing": (
        lambda: drawn(mlp(8, act=nn.Tanh), lambda w: w.normal_(std=0.01)),
        lambda: drawn(mlp(8, act=nn.Tanh), nn.init.xavier_normal_),
        classes, CE, "vanishing_gradient",
    ),
    "copies": (lambda: drawn(mlp(), nn.init.zeros_), mlp, classes, CE, "symmetry"),
    "dead": (
        lambda: with_bias(mlp(), -9.0), lambda: with_bias(mlp(), 0.0), classes, CE,
        "large_bias",
    ),
    "head": (
        lambda: drawn(mlp(2), lambda w: w.mul_(6)), lambda: mlp(2), classes, CE, "output_scale",
    ),
    "overflow": (
        lambda: drawn(mlp(60), lambda w: w.normal_(std=2)),
        lambda: drawn(mlp(60), nn.init.kaiming_normal_), classes, CE, "nonfinite",
    ),
}  # fmt: skip


def with_bias(model, value):
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.bias.fill_(value)
    return model


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_and_its_twin_is_not(name):
    faulty, sound, batch, loss, rule = FAULTS[name]
    assert rule in accused(look(faulty(), batch(), loss))
    assert rule not in accused(look(sound(), batch(), loss))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fix_was_run_and_its_lines_do_what_it_did(name):
    faulty, _, batch, loss, rule = FAULTS[name]
    model = faulty()
    report = look(model, batch(), loss, fixes=True)
    finding = next(f for f in report.findings if f.rule == rule)
    assert finding.fix_verified, str(report)
    before, after = finding.fix["loss_before"][1], finding.fix["loss_after"]
    assert after[1] < after[0]
    assert before is None or after[1] < before
    exec(finding.fix["code"], {"model": model, "nn": nn, "torch": torch})  # noqa: S102
    assert rule not in accused(look(model, batch(), loss))


def test_shapes_that_broadcast_by_accident():
    x, y = numbers()
    for loss in (MSE, lambda out, t: ((out - t) ** 2).mean()):
        report = look(mlp(outputs=1), (x, y[:, 0]), loss, fixes=True)
        assert [f.rule for f in report.findings] == ["wrong_loss"]
        assert report.findings[0].fix["code"] == "y = y.reshape(-1, 1)"
        assert report.findings[0].fix_verified
        assert look(mlp(outputs=1), (x, y), loss).ok


def test_an_unscaled_input():
    x, y = numbers()
    model, raw = mlp(outputs=1), x * 100 + 50
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    report = look(model, (raw, y), MSE, optimizer, fixes=True)
    assert report.findings[0].rule == "input_scale"
    assert report.findings[0].fix_verified
    scope = {"x": raw, "torch": torch}
    exec(report.findings[0].fix["code"], scope)  # noqa: S102
    assert look(model, (scope["x"], y), MSE).ok


def test_norm_in_eval_mode():
    report = look(cnn().eval(), images(), CE)
    assert [(f.rule, f.severity) for f in report.findings] == [("eval_mode", "warning")]
    assert report.findings[0].fix["code"] == "model.train()"
    assert not report.findings[0].fix_verified


def test_a_rate_that_is_too_high_and_one_that_is_too_low():
    for rate, rule in ((1000.0, "learning_rate_high"), (1e-7, "learning_rate_low"), (0.1, None)):
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), rate)
        report = look(model, classes(), CE, optimizer, fixes=True)
        assert [f.rule for f in report.findings] == ([rule] if rule else [])
        for group in optimizer.param_groups:
            assert group["lr"] == rate
        for finding in report.findings:
            exec(finding.fix["code"], {"optimizer": optimizer})  # noqa: S102
            assert look(model, classes(), CE, optimizer, fixes=True).ok


class Held(nn.Module):
    """Keeps a tensor with a graph, which nothing can copy."""

    def __init__(self):
        super().__init__()
        self.inner = drawn(mlp(12), lambda w: w.normal_())
        self.kept = self.inner[0].weight * 2

    def forward(self, x):
        return self.inner(x)


def test_what_cannot_be_copied_gets_no_fixes_and_the_reason():
    report = look(Held(), classes(), CE, fixes=True)
    assert accused(report)
    assert "deep copy failed" in report.fixes_not_tried
    assert not any(f.fix_verified for f in report.findings)
    assert "No fixes were tried: deep copy failed" in str(report)


def test_it_is_said_where_no_fix_was_found():
    def loss(out, y):
        return -torch.log(torch.relu(out) * 0).gather(1, y[:, None]).mean()

    report = look(mlp(), classes(), loss, fixes=True)
    assert report.findings[0].rule == "nonfinite"
    assert "ln 0 = −Inf" in report.findings[0].explanation
    assert "none was found" in str(report)


def test_lazy_modules_stay_lazy():
    model = nn.Sequential(nn.LazyLinear(32), nn.ReLU(), nn.LazyLinear(10))
    assert look(model, classes(), CE).ok
    assert all(isinstance(p, nn.UninitializedParameter) for p in model.parameters())


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.LazyLinear(32), nn.LazyBatchNorm1d()
        self.last = nn.Linear(31, 10)

    def forward(self, x):
        return self.last(self.norm(self.first(x)))


class LazyAndBroken(Lazy):
    def forward(self, x):  # noqa: ARG002
        raise RuntimeError("by intent")


@pytest.mark.parametrize(("kind", "place"), [(Lazy, "last"), (LazyAndBroken, "LazyAndBroken")])
def test_lazy_modules_whose_forward_pass_fails(kind, place):
    model = kind()
    report = look(model, classes(), CE, fixes=True)
    assert [f.title for f in report.findings] == [f"The forward pass fails in {place}"]
    assert isinstance(model.first.weight, nn.UninitializedParameter)
    assert isinstance(model.norm.running_mean, nn.UninitializedBuffer)


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.last = nn.Sequential(nn.Linear(20, 32), nn.ReLU()), nn.Linear(32, 10)

    def forward(self, x):
        return self.last(checkpoint(self.inner, x, use_reentrant=False))


def test_what_a_checkpoint_computes_again_is_no_further_call():
    report = look(Checkpointed(), classes(), CE)
    assert [r.facts.name for r in report.records] == ["inner.0", "inner.1", "last"]
    assert all(r.gradient is not None for r in report.records)


@pytest.mark.parametrize("fixes", [False, True])
def test_a_loss_that_writes_into_the_target(fixes):
    def loss(out, y):
        return (out - y.mul_(2.0)).square().mean()

    x, y = numbers()
    before = y.clone()
    look(mlp(outputs=1), (x, y), loss, fixes=fixes)
    assert torch.equal(y, before)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((nn.ReLU(), classes(), CE), ValueError, "ReLU has no parameters"),
        ((len, classes(), CE), TypeError, "expected an nn.Module"),
        ((mlp(), torch.zeros(2, 20), CE), TypeError, "expected the pair"),
        ((mlp(), (1, 2, 3), CE), ValueError, "got 3 entries"),
        ((mlp(), ("text", 1), CE), TypeError, "type str"),
        ((mlp(), ((1,), 1), CE), TypeError, "there is none"),
        ((mlp(), (torch.zeros(0, 20), 1), CE), ValueError, r"\(0, 20\)"),
        ((mlp(), classes(), "mse"), TypeError, "'mse'"),
        ((mlp(), classes(), CE, 0.1), TypeError, "got float"),
    ],
)
def test_wrong_use_gets_a_sentence(arguments, error, text):
    with pytest.raises(error, match=text):
        preflight(*arguments)
