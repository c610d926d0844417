"""Parameters before and after the optimiser's step: what is put aside of them, and what it says."""

from __future__ import annotations

import copy
import gc
import threading
import weakref

import pytest
import torch
from torch import nn

from layerscope.engine.probe import aside
from layerscope.engine.probe.step import Quantity
from layerscope.engine.probe.watch import watch
from layerscope.engine.statistics import statistics
from tests.trainings import Training, data, mlp
from tests.watching import frozen_first, watched

pytestmark = pytest.mark.usefixtures("no_hook_is_left")


def test_updates_lost_in_bfloat16_show():
    model = nn.Linear(4, 4).bfloat16()
    nn.init.ones_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), 1e-5)
    with watch(model, optimizer, to=":memory:") as probe:
        loss = model(torch.ones(2, 4, dtype=torch.bfloat16)).sum()
        loss.backward()
        optimizer.step()
        probe.step(loss)
    (step,) = probe.steps()
    assert step.of(0, Quantity.PARAMETER_GRADIENT).rms == 2.0
    assert step.update_ratio(0) == 0.0


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    "swap",
    [
        lambda p: torch.ones(3 * p.shape[0], p.shape[1]),
        lambda p: torch.ones(1, p.shape[1]),
        lambda p: p.detach().double() + 1.0,
        lambda p: p.detach().clone() + 1.0,
        lambda p: torch.ones(p.shape[1], p.shape[0]).t(),
    ],
    ids=["grown", "shrunk", "double", "moved", "transposed"],
)
def test_a_parameter_whose_storage_is_replaced_before_the_optimiser_steps(swap, later):
    """As by ``model.double()`` or a grown embedding; what was put aside no longer fits it."""

    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 6))

        def forward(self):
            return self.weight * 2

    model = Table()
    optimizer = torch.optim.SGD(model.parameters(), 0.25)
    with watch(model, optimizer, every=1, to=":memory:") as probe:
        for number in range(3):
            if number == 1 and not later:
                model.weight.data = swap(model.weight)
            loss = model().sum()
            loss.backward()
            if number == 1 and later:
                replaced = swap(model.weight)
                model.weight.grad = None
                model.weight.data = replaced
                model.weight.grad = torch.full_like(model.weight, 2.0)
            before = model.weight.detach().clone()
            optimizer.step()
            optimizer.zero_grad()
            probe.step(loss)
            del loss  # PyTorch keeps a parameter's first shape as long as a graph is there
            probe._writer.wait()
            if number == 1:
                expected = statistics(before), statistics(model.weight.detach() - before)
    assert probe.error is None, probe.error
    second, third = probe.steps()[1:]
    assert second.of(0, Quantity.VALUE) == expected[0]
    assert second.of(0, Quantity.UPDATE) == expected[1]
    assert third.of(0, Quantity.VALUE) == statistics(model.weight.detach() + 0.5)
    (told,) = probe.facts()[0].parameters.values()
    assert (told.shape, told.dtype) == (
        tuple(model.weight.shape), str(model.weight.dtype).removeprefix("torch."),
    )  # fmt: skip


def test_parameters_outside_the_optimisers_are_not_kept_twice():
    training = frozen_first()
    with watched(training, every=1) as probe:
        training.run(probe, steps=2)
        kept = {t.name: t.snapshot for t in probe.watched.tracked.values() if t.leaf.name == "0"}
    assert kept == {"weight": None, "bias": None}
    assert probe.steps()[-1].of(0, Quantity.VALUE) == statistics(training.model[0].weight.detach())
    assert probe.steps()[-1].of(0, Quantity.UPDATE) is None


def test_what_joins_an_optimiser_within_a_step_has_no_update_in_it():
    """Nobody knows what it was as the step began."""
    training = frozen_first()
    optimizer = training.optimizers[0]
    joining = list(training.model[0].parameters())
    with watched(training, every=1) as probe:
        for number in range(4):
            if number == 2:
                training.model[0].requires_grad_(True)
            training.model(torch.ones(3, 6) * (number + 1)).sum().backward()
            if number == 2:
                optimizer.add_param_group({"params": joining})
            optimizer.step()
            optimizer.zero_grad()
            probe.step()
    ratios = [step.update_ratio(0) for step in probe.steps()]
    assert ratios[2] is None
    assert 0 < ratios[3] < 100
    assert all(step.update_ratio(2) is not None for step in probe.steps())


def test_parameters_without_figures_are_left_out():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.arange(6), requires_grad=False)
            self.nowhere = nn.Parameter(torch.zeros(3, device="meta"), requires_grad=False)
            self.weight = nn.Parameter(torch.ones(6))

        def forward(self, x):
            return x * self.weight + self.table

    model = Odd()
    optimizer = torch.optim.SGD([model.weight], 0.1)
    training = Training(model, [optimizer], lambda n: model(torch.ones(3, 6)).square().mean())
    with watched(training, every=1) as probe:
        training.run(probe, steps=3)
    assert probe.error is None, probe.error
    assert list(probe.facts()[0].parameters) == ["weight"]
    assert probe.steps()[-1].of(0, Quantity.UPDATE) is not None


def test_an_update_that_could_not_be_read_in_time_is_read_at_once_from_then_on():
    """As where weights are clipped right after the optimiser's step."""
    training = mlp()
    first = training.model[0].weight
    free = threading.Event()
    with watched(training, every=1) as probe:
        for number in range(4):
            loss = training.forward(number)
            loss.backward()
            before = first.detach().clone()
            if number == 0:
                probe._writer.wait()
                probe._writer.put(free.wait)  # the writer is busy
            training.optimizers[0].step()
            stepped = first.detach() - before
            with torch.no_grad():
                first.clamp_(-0.3, 0.3)
            free.set()
            training.optimizers[0].zero_grad()
            probe.step(loss)
            probe._writer.wait()
    assert probe.error is None, probe.error
    assert probe.steps()[0].of(0, Quantity.UPDATE) is None
    assert probe.steps()[-1].of(0, Quantity.UPDATE) == statistics(stepped)


def in_groups(model):
    """As people do it: no weight decay for what has one axis, so that the order is another one."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() < 2]
    return [torch.optim.AdamW([{"params": others, "weight_decay": 0.0}, {"params": decayed}])]


def without_the_frozen(model):
    model[0].requires_grad_(False)
    return [torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)]


def with_the_frozen(model):
    model[0].requires_grad_(False)
    return [torch.optim.SGD(model.parameters(), 0.1)]


def one_after_the_other(model):
    return [torch.optim.SGD(model[2].parameters(), 0.1), torch.optim.Adam(model[0].parameters())]


class Recurrent(nn.Sequential):
    def forward(self, x):
        return self[2](self[0](x)[0])


RECURRENT = Recurrent(nn.LSTM(6, 5, num_layers=2), nn.Tanh(), nn.Linear(5, 1))
PLAIN = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1))


@pytest.mark.parametrize(
    ("model", "optimizers"),
    [
        (PLAIN, in_groups),
        (PLAIN, without_the_frozen),
        (PLAIN, with_the_frozen),
        (PLAIN, one_after_the_other),
        (RECURRENT, in_groups),
        (RECURRENT, lambda model: [torch.optim.SGD(model.parameters(), 0.1)]),
    ],
)
def test_parameters_measured_all_at_once_have_the_records_of_those_measured_one_by_one(
    monkeypatch, model, optimizers
):
    def payloads(one_by_one):
        twin = copy.deepcopy(model)
        training = Training(
            twin, optimizers(twin), lambda n: twin(data(n, 9, 6)).square().mean()
        )  # fmt: skip
        asked = []
        with monkeypatch.context() as patch:
            if one_by_one:
                patch.setattr(aside._Usual, "of", staticmethod(lambda *_: None))
            single = aside._storage
            patch.setattr(aside, "_storage", lambda p: asked.append(p) or single(p))
            with watched(training, every=1) as probe:
                training.run(probe, steps=4)
        assert probe.error is None, probe.error
        assert bool(asked) is one_by_one
        steps = probe.steps()
        for step in steps:
            step.time = 0.0
            assert sum(s.quantity is Quantity.UPDATE for s in step.slots) == sum(
                p.requires_grad for p in twin.parameters()
            )
        return [step.to_bytes() for step in steps]

    assert payloads(one_by_one=False) == payloads(one_by_one=True)


def test_nothing_of_a_parameter_that_was_replaced_is_kept():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    optimizer, gone = torch.optim.SGD(model.parameters(), 0.1), []
    with watch(model, optimizer, every=1, to=":memory:") as probe:
        for number in range(6):
            gone.append(weakref.ref(model[0].weight))
            model[0].weight = nn.Parameter(torch.ones(3, 3))
            optimizer.param_groups[0]["params"] = list(model.parameters())
            optimizer.zero_grad()
            model(data(number, 4, 3)).mean().backward()
            optimizer.step()
            probe.step()
        probe.steps()  # the writing thread is through
        gc.collect()
        assert probe.error is None, probe.error
        assert [ref() for ref in gone[:-1]] == [None] * 5


def test_what_an_optimiser_that_is_not_watched_steps_is_read_before_it_does():
    """As a step begins, when nobody tells of it; and the watched one's updates stay its own."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 40))
    body, head = (torch.optim.SGD(part.parameters(), 0.1) for part in model)
    with watch(model, body, every=1, to=":memory:") as probe:
        for number in range(20):
            if number:
                head.step()
                head.zero_grad()
            body.zero_grad()
            loss = model(torch.randn(8, 40)).square().mean()
            loss.backward()
            body.step()
            probe.step(loss)
    assert probe.error is None, probe.error
    for step in probe.steps():
        assert step.of(1, Quantity.VALUE) is not None, step.number
        moved, by = step.of(0, Quantity.UPDATE), step.of(0, Quantity.PARAMETER_GRADIENT)
        assert moved.rms == pytest.approx(0.1 * by.rms, rel=1e-3)
