"""The way of an accelerator, taken on the CPU: one copy a step, and nothing that waits."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from layerscope.engine.execution.saturation import FlatRegion
from layerscope.engine.probe import accelerator
from layerscope.engine.probe.accelerator import Afar, share_there
from layerscope.engine.probe.watch import watch
from layerscope.engine.statistics import Statistics, device
from tests.trainings import Training, mlp

WAITS = {"aten._local_scalar_dense", "aten.nonzero", "aten.equal", "aten.is_nonzero"}
"""Operators that need a number in the host's memory before anything goes on."""


class Counter(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.waits = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function).rpartition(".")[0]
        if name in WAITS:
            self.waits.append(name)
        return function(*args, **(kwargs or {}))


@pytest.fixture
def elsewhere(monkeypatch):
    """All tensors lie on an accelerator, as far as the probe can tell; returns its copies."""
    copies = []
    real = accelerator.fetch

    def fetch(buffer, ready):
        copies.append(tuple(buffer.shape))
        return real(buffer, ready)

    monkeypatch.setattr(accelerator, "fetch", fetch)
    monkeypatch.setattr(device, "HERE", "nowhere")
    monkeypatch.setattr(device, "DEVICES", {"cpu"})
    return copies


def run(training, **options):
    with watch(training.model, training.optimizers, every=1, to=":memory:", **options) as probe:
        training.run(probe, steps=6)
    assert probe.error is None, probe.error
    return probe


def test_one_copy_a_step_and_no_wait(elsewhere):
    training = mlp(depth=3)
    with watch(training.model, training.optimizers, every=1, to=":memory:") as probe:
        training.run(probe, steps=5)  # the first ones learn what is changed in place
        probe._writer.wait()
        elsewhere.clear()
        with Counter() as counter:
            training.run(probe, steps=4)
        waits = list(counter.waits)
        probe._writer.wait()
    assert probe.error is None, probe.error
    assert len(elsewhere) == 4
    assert waits == []


def test_figures_and_bits_are_those_of_the_cpu(elsewhere, monkeypatch):
    torch.manual_seed(0)
    there = mlp(depth=3)
    here = mlp(depth=3)
    here.model.load_state_dict(there.model.state_dict())
    alone = copy.deepcopy(there.model)
    optimizer = torch.optim.SGD(alone.parameters(), 0.05, momentum=0.9)
    Training(alone, [optimizer], lambda n: alone(there_inputs(n)).square().mean()).run(steps=6)
    far = run(there)
    assert len(elsewhere) == 6
    monkeypatch.undo()
    near = run(here)
    for one, other, unwatched in zip(
        there.model.parameters(), here.model.parameters(), alone.parameters(), strict=True
    ):
        assert torch.equal(one, other)
        assert torch.equal(one, unwatched)
    for a, b in zip(far.steps(), near.steps(), strict=True):
        assert a.loss == b.loss
        assert set(a.by_slot) == set(b.by_slot)
        for slot, expected in b.by_slot.items():
            found = a.by_slot[slot]
            assert found.histogram == expected.histogram, slot
            for field in Statistics.__struct_fields__[:-1]:
                x, y = getattr(found, field), getattr(expected, field)
                assert x == y or x == pytest.approx(y, rel=1e-6, abs=1e-12), (slot, field)
        for one, other in zip(a.modules, b.modules, strict=True):
            assert (one.look is None) == (other.look is None)
            if one.look is not None:
                assert one.look.dead == other.look.dead
                assert one.look.units.part("batch", "width", "dead", "constant") == (
                    other.look.units.part("batch", "width", "dead", "constant")
                )
                assert one.look.saturation == other.look.saturation
    assert list(far.ring.losses) == list(near.ring.losses)


def there_inputs(number):
    return torch.randn(16, 8, generator=torch.Generator().manual_seed(number))


def test_the_first_nan_is_told_by_the_figures(elsewhere):
    class Log(nn.Module):
        def forward(self, x):
            return x.log()

    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), Log(), nn.Linear(4, 1))
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    training = Training(model, [optimizer], lambda n: model(torch.ones(8, 4)).mean())
    finding = run(training).findings()[0]
    assert (finding.rule, finding.modules, finding.since) == ("nonfinite", ("2",), 1)
    assert "first in the output of 2" in finding.explanation


def test_what_is_never_zeroed_is_stale_and_what_is_zeroed_in_place_is_not(elsewhere):
    def stale(zero):
        training = mlp()
        with watch(training.model, training.optimizers, every=1, to=":memory:") as probe:
            for number in range(6):
                training.forward(number).backward()
                training.optimizers[0].step()
                if zero:
                    training.optimizers[0].zero_grad(set_to_none=False)
                probe.step()
        return [step.stale for step in probe.steps()]

    assert stale(True) == [0] * 6
    assert all(stale(False)[1:])


def test_a_model_over_several_devices_has_a_copy_a_device(elsewhere, monkeypatch):
    torch.manual_seed(0)
    alone = run(mlp(depth=3))
    elsewhere.clear()
    torch.manual_seed(0)
    monkeypatch.setattr(accelerator, "place", lambda tensor: ("first", "second")[tensor.dim() % 2])
    found = run(mlp(depth=3))
    assert len(elsewhere) == 2 * 6
    for one, other in zip(found.steps(), alone.steps(), strict=True):
        assert one.loss == other.loss
        assert set(one.by_slot) == set(other.by_slot)
        for slot, s in other.by_slot.items():
            assert one.by_slot[slot] == s, slot
        assert [m.look for m in one.modules] == [m.look for m in other.modules]


def test_a_loss_that_lies_elsewhere_than_the_model_is_not_lost(monkeypatch):
    """The model is here; only the loss is not."""
    training = mlp()
    there = []
    monkeypatch.setattr(Afar, "holds", staticmethod(lambda t: any(t is each for each in there)))
    with watch(training.model, training.optimizers, every=2, to=":memory:") as probe:
        for number in range(4):
            loss = training._ordinary(number)
            detached = loss.detach()
            monkeypatch.setattr(  # as it does of a tensor on a device
                "layerscope.engine.probe.probe.loss_given", lambda *_, value=detached: value
            )
            probe.step(loss)
            there.append(detached)
    assert probe.error is None, probe.error
    assert [step.loss for step in probe.steps()] == [float(there[0]), float(there[2])]
    assert [value for _, value in probe.ring.losses] == [float(each) for each in there]


def test_a_learning_rate_that_is_a_tensor_comes_with_the_step(elsewhere):
    training = mlp()
    group = training.optimizers[0].param_groups[0]
    group["lr"] = torch.tensor(0.5)
    training.optimizers[0].add_param_group({"params": [nn.Parameter(torch.ones(2))], "lr": 0.25})
    with watch(training.model, training.optimizers, every=1, to=":memory:") as probe:
        training.run(probe, steps=4)
        probe._writer.wait()
        elsewhere.clear()
        with Counter() as counter:
            for _ in range(3):
                waits = len(counter.waits)
                training.forward(0).backward()
                probe._recorder.optimizers._pre(training.optimizers[0], (), {})
                assert len(counter.waits) == waits
                training.optimizers[0].step()
                probe.step()
                group["lr"].mul_(0.5)
        probe._writer.wait()
    assert probe.error is None, probe.error
    assert len(elsewhere) == 3
    assert [s.learning_rates for s in probe.steps()[-3:]] == [
        [0.5, 0.25],
        [0.25, 0.25],
        [0.125, 0.25],
    ]


@pytest.mark.parametrize(
    "z", [torch.randn(20, 5), torch.tensor([[float("nan"), -1.0, 2.0, 3.0]]), torch.zeros(3, 2)]
)
def test_the_share_that_is_flat(z):
    region = FlatRegion(((None, 0.0), (2.5, None)), 0.5)
    assert float(share_there(region, z)) == pytest.approx(region.share(z))


def test_nothing_of_a_step_that_is_all_here_is_fetched():
    assert Afar().ended() == []
    assert not Afar.holds(torch.zeros(3))
