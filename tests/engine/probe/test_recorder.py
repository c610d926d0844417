"""What is recorded of a step: the tensors' own statistics, and of which tensors none."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from layerscope.engine.probe.pace import Pace
from layerscope.engine.probe.step import Quantity
from layerscope.engine.probe.watch import watch
from layerscope.engine.statistics import Statistics, statistics
from tests.trainings import Training, mlp
from tests.watching import watched

pytestmark = pytest.mark.usefixtures("no_hook_is_left")


def test_statistics_are_those_of_the_tensors_themselves():
    """Against hooks of PyTorch's own on another run of the same bits."""
    torch.manual_seed(0)
    training = mlp(depth=3)
    twin = copy.deepcopy(training.model)
    with watched(training, every=1) as probe:
        training.run(probe, steps=4)
    optimizer = torch.optim.SGD(twin.parameters(), 0.05, momentum=0.9)
    seen = Training(twin, [optimizer], lambda n: twin(inputs[n]).square().mean())
    inputs = [torch.randn(16, 8, generator=torch.Generator().manual_seed(n)) for n in range(4)]
    for step in probe.steps():
        expected: dict[tuple[int, Quantity, int], torch.Tensor] = {}

        def forward(module, given, output, expected=expected):
            index = int(next(n for n, m in twin.named_children() if m is module))
            expected[index, Quantity.ACTIVATION, 0] = output.detach().clone()
            output.register_hook(
                lambda g: expected.__setitem__((index, Quantity.GRADIENT, 0), g.clone())
            )

        handles = [m.register_forward_hook(forward) for m in twin.children()]
        before = {(int(n.split(".")[0]), place): p.detach().clone()
                  for n, m in twin.named_children()
                  for place, (_, p) in enumerate(m.named_parameters())}  # fmt: skip
        loss = seen.forward(step.number - 1)
        loss.backward()
        for n, m in twin.named_children():
            for place, (_, p) in enumerate(m.named_parameters()):
                expected[int(n), Quantity.PARAMETER_GRADIENT, place] = p.grad.clone()
                expected[int(n), Quantity.VALUE, place] = before[int(n), place]
        optimizer.step()
        optimizer.zero_grad()
        for n, m in twin.named_children():
            for place, (_, p) in enumerate(m.named_parameters()):
                expected[int(n), Quantity.UPDATE, place] = p.detach() - before[int(n), place]
        expected[0, Quantity.INPUT, 0] = inputs[step.number - 1]
        for handle in handles:
            handle.remove()
        assert step.loss == loss.item()
        assert set(step.by_slot) == set(expected)
        for (module, quantity, place), tensor in expected.items():
            found = step.of(module, quantity, place)
            assert found == statistics(tensor), (step.number, module, quantity)
            if tensor.numel() > 1:
                assert found.std == pytest.approx(float(tensor.std()), rel=1e-5)
            assert found.mean == pytest.approx(float(tensor.mean()), rel=1e-4, abs=1e-9)
            assert (found.max, found.min) == (float(tensor.max()), float(tensor.min()))


def test_merged_calls_are_one_statistic():
    block = nn.Linear(4, 4)
    model = nn.Sequential(block, nn.Tanh(), block)
    x = torch.randn(5, 4)
    with torch.no_grad():
        one = block(x)
        other = block(torch.tanh(one))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, to=":memory:") as probe:
        model(x).sum().backward()
        optimizer.step()
        probe.step()
    (step,) = probe.steps()
    found = step.of(0, Quantity.ACTIVATION)
    expected = Statistics.merge(statistics(one), statistics(other))
    assert found.histogram == expected.histogram
    assert found.std == pytest.approx(expected.std, rel=1e-12)
    assert step.modules[0].calls == 2


def test_what_clipping_did_is_seen():
    training = mlp()
    optimizer = training.optimizers[0]
    norms = []
    with watched(training, every=1) as probe:
        for number in range(3):
            optimizer.zero_grad()
            loss = training.forward(number)
            loss.backward()
            norms.append(float(nn.utils.clip_grad_norm_(training.model.parameters(), 1e-3)))
            optimizer.step()
            probe.step(loss)
    for step, norm in zip(probe.steps(), norms, strict=True):
        for quantity, expected in ((Quantity.UNCLIPPED, norm), (Quantity.PARAMETER_GRADIENT, 1e-3)):
            parts = [s.rms**2 * s.count for slot, s in zip(step.slots, step.statistics, strict=True)
                     if slot.quantity == quantity]  # fmt: skip
            assert math.sqrt(sum(parts)) == pytest.approx(expected, rel=1e-2)


def test_nothing_is_said_of_gradients_before_clipping_where_nobody_clips():
    training = mlp()
    with watched(training, every=1) as probe:
        training.run(probe)
    quantities = {slot.quantity for step in probe.steps() for slot in step.slots}
    assert Quantity.UNCLIPPED not in quantities


def test_gradients_are_reported_unscaled():
    def run(scale):
        torch.manual_seed(0)
        training = mlp()
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        with watched(training, every=1, scaler=scaler) as probe:
            loss = training.forward(0)
            scaler.scale(loss).backward()
            scaler.step(training.optimizers[0])
            scaler.update()
            probe.step(loss)
        return probe.steps()[0]

    one, scaled = run(1.0), run(1024.0)
    assert scaled.scale == 1024.0
    for quantity in (Quantity.GRADIENT, Quantity.PARAMETER_GRADIENT, Quantity.UNCLIPPED):
        assert scaled.of(0, quantity) == one.of(0, quantity)


def test_a_norms_running_statistics_and_mode():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, to=":memory:") as probe:
        model(torch.randn(9, 4) + 5).sum().backward()
        optimizer.step()
        probe.step()
    said = probe.steps()[0].modules[1]
    assert said.training is True
    assert said.running[0] == pytest.approx(float(model[1].running_mean.square().mean().sqrt()))


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_a_validation_within_a_step_is_not_recorded(mode):
    training = mlp()
    model = training.model
    with watched(training, every=1) as probe:
        for number in range(3):
            loss = training.forward(number)
            loss.backward()
            if mode is torch.no_grad:
                model.eval()
            with mode():
                model(torch.full((99, 8), math.inf))
            model.train()
            assert len(probe._recorder.modules.given[0][0]) == 16, "what a run again would be given"
            training.optimizers[0].step()
            training.optimizers[0].zero_grad()
            probe.step(loss)
    assert probe.error is None, probe.error
    assert probe.origin is None
    assert [s.of(0, Quantity.ACTIVATION).count for s in probe.steps()] == [16 * 8] * 3


def test_outputs_made_in_inference_mode_and_handed_on_are_left_out():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.head = nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x):
            with torch.inference_mode():
                x = self.backbone(x)
            return self.head(x.clone())

    model = Net()
    optimizer = torch.optim.SGD(model.head.parameters(), 0.1)
    training = Training(model, [optimizer], lambda n: model(torch.ones(3, 6)).square().mean())
    with watched(training, every=1) as probe:
        training.run(probe, steps=3)
    assert probe.error is None, probe.error
    seen = {f.name: probe.steps()[-1].of(f.index, Quantity.ACTIVATION) for f in probe.facts()}
    assert seen["head"].count == 6
    assert seen["backbone"] is None


def test_calls_under_a_transform_are_left_out():
    """Of per-sample gradients no tensor lies anywhere; the training beside them is recorded."""
    training = mlp()
    model = training.model
    parameters = {n: p.detach() for n, p in model.named_parameters()}

    def loss_of(values, x):
        return torch.func.functional_call(model, values, (x[None],)).square().mean()

    alone = torch.func.vmap(torch.func.grad(loss_of), (None, 0))(parameters, torch.ones(4, 8))
    with watched(training, every=1) as probe:
        training.run(probe, steps=1)
        parameters = {n: p.detach() for n, p in model.named_parameters()}
        found = torch.func.vmap(torch.func.grad(loss_of), (None, 0))(parameters, torch.ones(4, 8))
        training.run(probe, steps=1)
    assert probe.error is None, probe.error
    assert {n: g.shape for n, g in found.items()} == {n: g.shape for n, g in alone.items()}
    assert [s.of(0, Quantity.ACTIVATION).count for s in probe.steps()] == [16 * 8] * 2


@pytest.mark.parametrize("checks", [True, False])
def test_the_short_way_of_a_known_call_records_the_same(monkeypatch, checks):
    """A call of which nothing is asked but its tensors, beside one that is looked at closely."""
    monkeypatch.setattr(Pace, "checks", property(lambda _: checks, lambda *_: None), raising=False)
    torch.manual_seed(0)
    training = mlp(depth=3)
    ways, seen = [], []
    for module in training.model:
        module.register_forward_hook(lambda *given: seen.append(given[-1].detach().clone()))
    with watched(training, every=1) as probe:
        probe._recorder.looker.wanted = lambda: False
        modules = probe._recorder.modules
        short = modules._known_call
        monkeypatch.setattr(
            modules, "_known_call", lambda *given: (ways.append(given[0]), short(*given))
        )
        training.run(probe, steps=4)
    assert probe.error is None, probe.error
    assert bool(ways) is not checks
    steps = probe.steps()
    assert len(steps) == 4
    width = len(training.model)
    for number, step in enumerate(steps):
        outputs = seen[number * width : (number + 1) * width]
        for index, output in enumerate(outputs):
            assert step.of(index, Quantity.ACTIVATION) == statistics(output)
            assert step.of(index, Quantity.GRADIENT) is not None
            assert step.said[index].calls == 1
            assert step.said[index].shape == tuple(output.shape)
