"""The first NaN or infinity: where, which way, from what; beside PyTorch's anomaly mode."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules import module as modules_of_torch

from layerscope.engine.probe.watch import watch


class Log(nn.Module):
    def forward(self, x):
        return x.log()


class Root(nn.Module):
    def forward(self, x):
        return x.sqrt()


class Late(nn.Module):
    """Divides by zero in one call, whatever comes in."""

    def __init__(self, at):
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, x):
        self.calls += 1
        return x / (self.calls != self.at)


def trained(model, x, y, *, steps=4, optimizer=None, loss=None, checks=True, **options):
    loss = loss or nn.MSELoss()
    optimizer = optimizer or torch.optim.SGD(model.parameters(), 0.01)
    # On a quick machine a look at every tensor costs more than five hundredths of so small a step.
    options = {"budget": 1.0, **options}
    with watch(model, optimizer, loss=loss, to=":memory:", **options) as probe:
        for number in range(steps):
            if not checks:
                probe._recorder.modules.checks = False
            given = x(number) if callable(x) else x
            value = probe.loss(model(given), y)
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.step(value)
    assert probe.error is None, probe.error
    return probe


def only(probe):
    every = [f for root in probe.findings() for f in (root, *root.consequences)]
    found = [f for f in every if f.rule == "nonfinite"]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("every", [1, 100, None])
def test_the_logarithm_of_zero(every, checks):
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), Log(), nn.Linear(3, 1))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.copy_(torch.tensor([-1.0, 1.0, 1.0]))
    probe = trained(model, torch.ones(5, 3), torch.zeros(5, 1), every=every, checks=checks)
    finding = only(probe)
    assert (finding.modules, finding.direction, finding.since) == (("2",), "forward", 1)
    assert "5 −Inf among 15 in the output of 2" in finding.explanation
    assert finding.evidence["operands"] == "ln 0 = −Inf, at [0, 0]"
    assert "test_origin.py" in finding.evidence["where"]
    assert "probe.loss(model(given), y)" in finding.evidence["where"]


@pytest.mark.parametrize("every", [1, 100])
def test_a_step_that_is_not_recorded_is_not_missed(every):
    model = nn.Sequential(nn.Linear(3, 3), Late(at=7), nn.Linear(3, 1))
    probe = trained(model, torch.ones(5, 3), torch.zeros(5, 1), steps=9, every=every)
    finding = only(probe)
    assert (finding.modules, finding.since) == (("1",), 7)


def test_the_users_own_line_is_told():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.log = nn.Linear(3, 3), Log()

        def forward(self, x):
            x = self.first(x)
            return self.log(x * 0)  # here

    finding = only(trained(Net(), torch.ones(5, 3), torch.zeros(5, 3)))
    assert finding.modules == ("log",)
    assert finding.evidence["where"].endswith("return self.log(x * 0)  # here")


def test_the_gradient_of_a_root_at_zero_beside_anomaly_mode():
    """Forward all is finite; PyTorch names the backward function, and no module."""
    model = nn.Sequential(nn.Linear(3, 3), Root(), nn.Linear(3, 1))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    x, y = torch.ones(5, 3), torch.zeros(5, 1)
    with (
        pytest.warns(UserWarning, match="Anomaly Detection|SqrtBackward0"),
        pytest.raises(RuntimeError, match="Function 'SqrtBackward0' returned nan values"),
        torch.autograd.detect_anomaly(),
    ):
        (model(x) - y).square().sum().backward()
    finding = only(trained(model, x, y, every=1))
    assert (finding.direction, finding.since, finding.modules) == ("backward", 1, ("1",))
    assert finding.explanation.startswith(
        "In step 1: 15 NaN among 15 made going back from the output of 1, whose gradient is finite,"
        " to that of 0."
    )


def test_an_infinity_that_reaches_no_parameter_is_seen():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), Root(), nn.Linear(3, 1))
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
        model[3].weight.fill_(1.0)
    finding = only(trained(model, torch.ones(5, 3), torch.ones(5, 1), every=1))
    assert (finding.direction, finding.since, finding.modules) == ("backward", 1, ("2",))
    assert "15 −Inf among 15" in finding.explanation


def test_backward_between_records_names_the_parameters():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), Root(), nn.Linear(3, 1))

    def x(number):
        return torch.ones(5, 3) * (1.0 if number != 5 else 0.0)

    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[2].weight.fill_(0.1)
    finding = only(trained(model, x, torch.full((5, 1), 5.0), steps=7, every=100))
    assert (finding.direction, finding.since) == ("backward", 6)
    assert finding.modules == ("0",)


def test_bad_data():
    def x(number):
        return torch.full((5, 3), math.nan if number == 2 else 1.0)

    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    finding = only(trained(model, x, torch.zeros(5, 1), every=2))
    assert (finding.modules, finding.since) == (("0",), 3)
    assert "already in the input of 0, from the data" in finding.explanation


def test_what_the_optimiser_broke_is_the_optimisers():
    """Adam without its ε divides zero by zero for whatever has no gradient yet."""
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
    with torch.no_grad():
        model[0].bias[0] = -100.0
    optimizer = torch.optim.Adam(model.parameters(), 0.01, eps=0)
    finding = only(trained(model, torch.ones(5, 3), torch.ones(5, 1), optimizer=optimizer))
    assert (finding.modules, finding.since) == (("0",), 1)
    assert finding.evidence["made_by"] == "optimizer"
    assert "since the optimiser's step 1, whose gradients were finite" in finding.explanation


def test_the_loss_itself():
    def loss(output, target):
        return (target.log() * output).mean()

    finding = only(trained(nn.Linear(3, 1), torch.ones(5, 3), torch.zeros(5, 1), loss=loss))
    assert finding.since == 1
    assert finding.modules == ()
    assert finding.evidence["operands"] == "ln 0 = −Inf"


def test_a_drift_is_told_with_its_beginning():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), 3.0)
    x = torch.randn(32, 8)
    finding = only(trained(model, x, torch.zeros(32, 1), optimizer=optimizer, steps=12, every=1))
    assert finding.since > 2
    assert finding.evidence["drift_since"] < finding.since
    assert "had been growing since step" in finding.explanation


def test_a_step_that_the_scaler_skips_is_no_fault():
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    with watch(model, optimizer, every=1, scaler=scaler, to=":memory:") as probe:
        for _ in range(4):
            loss = model(torch.ones(5, 3) * 100).square().mean()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            probe.step(loss)
    assert probe.steps()[0].skipped
    assert not [f for f in probe.findings() if f.rule == "nonfinite"]


def test_a_healthy_training_has_no_origin():
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    probe = trained(model, torch.ones(5, 3), torch.zeros(5, 1), steps=20)
    assert probe.origin is None
    assert not [f for f in probe.findings() if f.rule == "nonfinite"]


class Between(nn.Module):
    """An operation that is no module makes an infinity, an activation in place passes it on."""

    def __init__(self, activation):
        super().__init__()
        self.first, self.activation, self.last = nn.Linear(3, 3), activation, nn.Linear(3, 3)

    def forward(self, x):
        return self.last(self.activation(self.first(x) * float("inf")))


class Drawing(nn.Module):
    """Draws from every generator there is, and makes a NaN of it."""

    def forward(self, x):
        drawn = float(np.random.rand()) + random.random() + torch.rand(())
        return (x * 0 / 0) * drawn


class Overwriting(nn.Module):
    """Writes into what it is given."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x):
        x.mul_(0.5)
        return (x * self.weight) / 0


def states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize(
    "module",
    [lambda: Between(nn.ReLU(inplace=True)), Drawing, Overwriting, lambda: Between(Drawing())],
)
def test_running_a_module_again_leaves_the_training_as_it_was(module, checks):
    def run(watching):
        random.seed(0), np.random.seed(0), torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 3), module())
        x = torch.ones(5, 3)
        if watching:
            trained(model, x, torch.zeros(5, 3), steps=3, checks=checks, every=1)
        else:
            optimizer, loss = torch.optim.SGD(model.parameters(), 0.01), nn.MSELoss()
            for _ in range(3):
                loss(model(x), torch.zeros(5, 3)).backward()
                optimizer.step()
                optimizer.zero_grad()
        return x, [p.detach().clone() for p in model.parameters()], states()

    x, parameters, drawn = run(False)
    again, watched, also = run(True)
    assert torch.equal(x, again)
    assert drawn == also
    for one, other in zip(parameters, watched, strict=True):
        assert torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))


def test_what_is_made_in_place_is_not_said_to_have_come_in():
    class InPlace(nn.Module):
        def forward(self, x):
            return x.log_()

    def loss(output, target):
        return output.nan_to_num().mean()

    model = nn.Sequential(nn.Linear(3, 3), InPlace())
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    finding = only(trained(model, torch.ones(5, 3), torch.zeros(5, 1), loss=loss))
    assert finding.modules == ("1",)
    assert "made in place, or by an operation before it" in finding.explanation


def test_a_loss_that_writes_into_its_output_is_asked_again_on_a_copy():
    def loss(output, target):
        return output.mul_(2.0).mean() * float("nan")

    finding = only(trained(nn.Linear(3, 1), torch.ones(5, 3), torch.zeros(5, 1), loss=loss))
    assert finding.evidence["made_by"] == "loss"


class Doubled(nn.Module):
    """Its output grows twofold with every call; the module before it does not."""

    def __init__(self):
        super().__init__()
        self.by = 1.0

    def forward(self, x):
        self.by *= 2
        return x * self.by


def test_of_a_loss_the_output_is_what_had_been_growing():
    model = nn.Sequential(nn.Linear(4, 4), nn.Identity(), Doubled())
    loss = lambda y, t: torch.where(y.abs().max() > 200, torch.inf, 1.0) * (y - t).square().mean()  # noqa: E731
    probe = trained(
        model, torch.ones(8, 4), torch.zeros(8, 4), steps=12, loss=loss,
        optimizer=torch.optim.SGD(model.parameters(), 0.0), every=1,
    )  # fmt: skip
    finding = only(probe)
    assert finding.evidence["made_by"] == "loss"
    assert finding.title.endswith("in the loss")
    assert "The rms of the output of 2 had been growing since step 1" in finding.explanation
    assert finding.layers == (2, 2)


def test_a_model_that_is_one_module_has_a_name_in_words():
    class Alone(nn.Linear):
        def forward(self, x):
            return super().forward(x).log()

    model = Alone(4, 4)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    finding = only(trained(model, torch.ones(8, 4), torch.zeros(8, 4), every=1))
    assert finding.title == "The first non-finite value comes up in Alone"


def test_where_calls_are_not_followed_no_hook_slows_them_and_a_nan_is_seen_all_the_same():
    model = nn.Sequential(nn.Linear(3, 3), Late(4), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    x, y = torch.ones(5, 3), torch.zeros(5, 1)
    followed = []
    with watch(model, optimizer, loss=nn.MSELoss(), every=100, to=":memory:") as probe:
        for _ in range(5):
            probe.pace.looks_out = False  # as a budget decides that it cannot pay for it
            loss = probe.loss(model(x), y)
            followed.append(len(modules_of_torch._global_forward_hooks))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.step(loss)
    assert probe.error is None, probe.error
    assert followed == [1, 0, 0, 0, 0]
    assert (probe.origin.step, probe.origin.direction) == (4, "loss")
