"""Which gradients are stale: those to which a backward pass has added after they were used."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from layerscope.engine.probe.rules.gradients import stale_gradients
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


def test_a_closure_that_zeroes_is_not():
    def each(model, optimizer, number):
        def closure():
            optimizer.zero_grad()
            loss = forward(model, number)
            loss.backward()
            return loss

        optimizer.step(closure)

    assert set(staleness(each, make=lambda p, lr: torch.optim.LBFGS(p, lr, max_iter=2))) == {0}


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
