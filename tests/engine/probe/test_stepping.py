"""Which gradients are stale: those to which a backward pass has added after they were used."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from layerscope.engine.probe.pace import Pace
from layerscope.engine.probe.rules.gradients import stale_gradients
from layerscope.engine.probe.step import Quantity
from layerscope.engine.probe.watch import watch
from layerscope.engine.statistics import device
from tests.trainings import data

STEPS = 8


@pytest.fixture(params=["here", "elsewhere"])
def anywhere(request, monkeypatch):
    """On the CPU, and on what the probe takes for an accelerator."""
    if request.param == "elsewhere":
        monkeypatch.setattr(device, "HERE", "nowhere")
        monkeypatch.setattr(device, "DEVICES", {"cpu"})


def staleness(each, *, every=1, make=None):
    """Of the recorded steps, where ``each(model, optimizer, number)`` is a step."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"body": nn.Linear(4, 4), "a": nn.Linear(4, 1), "b": nn.Linear(4, 1)})
    optimizer = (make or torch.optim.SGD)(model.parameters(), lr=0.01)
    with watch(model, optimizer, every=every, to=":memory:") as probe:
        for number in range(STEPS):
            each(model, optimizer, number)
            probe.step()
    assert probe.error is None, probe.error
    return [step.stale for step in probe.steps()]


def forward(model, number, head="a"):
    return model[head](model["body"](data(number, 6, 4)).relu()).square().mean()


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("every", [1, 3])
def test_what_is_never_zeroed_is_stale(every):
    def each(model, optimizer, number):
        forward(model, number).backward()
        optimizer.step()

    found = staleness(each, every=every)
    assert found[0] == 0
    assert set(found[1:]) == {4}


def two_heads(model, optimizer, number):
    forward(model, number, "a").backward()
    forward(model, number, "b").backward()
    optimizer.step()


def another_loss_behind(model, optimizer, number):
    forward(model, number, "a").backward()
    model["b"](data(number, 6, 4)).square().mean().backward()
    optimizer.step()


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize(("each", "stale"), [(two_heads, 6), (another_loss_behind, 6)])
def test_what_a_later_backward_pass_leaves_alone_stays_stale(each, stale):
    assert staleness(each) == [0] + [stale] * (STEPS - 1)


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.filterwarnings("ignore:Using backward")
def test_clipping_does_not_hide_it(create_graph):
    def each(model, optimizer, number):
        forward(model, number).backward(create_graph=create_graph)
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()

    assert set(staleness(each)[1:]) == {4}


def zeroed_in_place(model, optimizer, number):
    optimizer.zero_grad(set_to_none=False)
    forward(model, number).backward()
    optimizer.step()


def zeroed_after_the_step(model, optimizer, number):
    forward(model, number).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)


def momentum_by_hand(model, optimizer, number):
    """What is left is scaled before one adds to it: meant so."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(0.5)
    forward(model, number).backward()
    optimizer.step()


def momentum_after_the_step(model, optimizer, number):
    forward(model, number).backward()
    optimizer.step()
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(0.5)


def edited_without_a_backward_pass(model, optimizer, number):
    """Of the head that was not asked the gradient is edited, once, after the backward pass."""
    head = "ab"[number % 2]
    optimizer.zero_grad()
    forward(model, number, head).backward()
    optimizer.step()
    for parameter in model[head].parameters():
        parameter.grad.mul_(2.0)


def edited_between(model, optimizer, number):
    """As many changes as backward passes, none of them by one."""
    for parameter in model["body"].parameters():
        parameter.grad = None
    forward(model, number, "ab"[number % 2]).backward()
    for parameter in model["ba"[number % 2]].parameters():
        if parameter.grad is not None:
            parameter.grad.zero_()
    optimizer.step()
    for parameter in model["ab"[number % 2]].parameters():
        parameter.grad = None


def zeroed_behind_pytorchs_back(model, optimizer, number):
    """Without a new version."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.data.zero_()
    forward(model, number).backward()
    optimizer.step()


def accumulated(model, optimizer, number):
    optimizer.zero_grad()
    for part in range(3):
        forward(model, 10 * number + part).backward()
    optimizer.step()


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(
    "each",
    [
        zeroed_in_place,
        zeroed_after_the_step,
        momentum_by_hand,
        momentum_after_the_step,
        edited_without_a_backward_pass,
        edited_between,
        zeroed_behind_pytorchs_back,
        accumulated,
    ],
)
def test_what_no_backward_pass_has_added_to_is_not(each, every):
    assert set(staleness(each, every=every)) == {0}


def test_a_frozen_head_that_keeps_its_gradient_is_not():
    def each(model, optimizer, number):
        model["body"].zero_grad()
        forward(model, number, "a" if number else "b").backward()
        model["b"].weight.grad.mul_(0.5)
        optimizer.step()
        model["a"].zero_grad()

    assert set(staleness(each)) == {0}


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize(("zeroing", "stale"), [(True, {0}), (False, {0}), (None, {4})])
def test_a_closure_that_zeroes_is_not_and_one_that_does_not_is(zeroing, stale):
    """Set to nothing, to zero in place, and never."""

    def each(model, optimizer, number):
        def closure():
            if zeroing is not None:
                optimizer.zero_grad(set_to_none=zeroing)
            loss = forward(model, number)
            loss.backward()
            return loss

        optimizer.step(closure)

    found = staleness(each, make=lambda p, lr: torch.optim.LBFGS(p, lr, max_iter=2))
    assert set(found[1:]) == stale


def to_nothing(module):
    module.zero_grad()


def in_place(module):
    module.zero_grad(set_to_none=False)


def behind_pytorchs_back(module):
    for parameter in module.parameters():
        if parameter.grad is not None:
            parameter.grad.data.zero_()


def not_at_all(module):
    """Which is the fault."""


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("detached", [True, False])
@pytest.mark.parametrize(
    ("zeroed", "stale"),
    [(to_nothing, {0}), (in_place, {0}), (behind_pytorchs_back, {0}), (not_at_all, {4})],
)
def test_two_networks_that_train_against_each_other_are_not(zeroed, stale, detached, rounds):
    """As a generator and its judge do, or an actor and its critic: each one's loss goes through the
    other, and leaves gradients there that nobody uses."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"maker": nn.Linear(4, 4), "judge": nn.Linear(4, 1)})
    maker, judge = model["maker"], model["judge"]
    makers, judges = (torch.optim.SGD(each.parameters(), 0.01) for each in (maker, judge))
    with watch(model, [makers, judges], every=1, to=":memory:") as probe:
        for number in range(STEPS):
            for part in range(rounds):
                given = data(2 * number + part, 6, 4)
                zeroed(judge)
                made = maker(given).relu()
                judge(made.detach() if detached else made).square().mean().backward()
                judges.step()
                zeroed(maker)
                (-judge(maker(given).relu()).square().mean()).backward()
                makers.step()
            probe.step()
    assert probe.error is None, probe.error
    assert {step.stale for step in probe.steps()[1:]} == stale


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is compiled")
@pytest.mark.parametrize("compiled", ["module", "function"])
@pytest.mark.parametrize(("zeroes", "stale"), [(True, {0}), (False, {2})])
def test_what_is_wholly_compiled_is_asked_by_its_parameters(compiled, zeroes, stale):
    """No hook of a module sees its backward pass."""
    model = nn.Sequential(nn.Linear(4, 1), nn.Tanh())
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    asked = torch.compile(
        model if compiled == "module" else lambda x: model(x), backend="aot_eager", fullgraph=True
    )
    with watch(model if compiled == "function" else asked, optimizer, every=1, to=":memory:") as p:
        for number in range(STEPS):
            if zeroes:
                optimizer.zero_grad(set_to_none=False)
            asked(data(number, 6, 4)).square().mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
            optimizer.step()
            p.step()
    assert p.error is None, p.error
    assert Quantity.UNCLIPPED in {slot.quantity for slot in p.steps()[-1].slots}
    assert {step.stale for step in p.steps()[2:]} == stale
    assert not any(parameter._backward_hooks for parameter in model.parameters())
    torch._dynamo.reset()


def test_under_a_budget_the_step_before_a_recorded_one_is_noted_and_no_other():
    pace, recorded, noted = Pace(None, 0.05), [], []
    for number in range(1, 40):
        recorded.append(pace.records(number))
        noted.append(pace.records_after(number))
        pace.ended(number, 1.0, recorded[-1], calls=1, size=1)
    assert 1 < sum(recorded) < len(recorded)
    assert noted[:-1] == recorded[1:]


def test_what_is_never_zeroed_is_stale_under_a_budget_too():
    def each(model, optimizer, number):
        forward(model, number).backward()
        optimizer.step()

    found = staleness(each, every=None)
    assert len(found) >= 2
    assert set(found[1:]) == {4}


class _Steps:
    """A history of so many stale steps in a row, and others."""

    losses = facts = ()
    learns = False

    def __init__(self, stale):
        self.steps = [
            SimpleNamespace(number=n, stale=s or 0, skipped=s is None)
            for n, s in enumerate(stale, start=1)
        ]

    def finding(self, *_, **said):
        return said["since"], said["evidence"]["recorded_steps"]


@pytest.mark.parametrize(
    ("stale", "expected"),
    [
        ([1, 1, 0, 1, 1], None),
        ([1, 1, 0, 1], None),
        ([0, 1, 1, 1], (2, 3)),
        ([1, 0, 1, 1, 1], (3, 3)),
        ([1, 1, 1, 0], None),
        ([1, None, 1, None, 1], (1, 3)),
    ],
)
def test_only_the_last_run_of_stale_steps_counts(stale, expected):
    assert stale_gradients(_Steps(stale)) == expected
