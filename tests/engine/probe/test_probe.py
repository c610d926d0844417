from __future__ import annotations

import copy
import gc
import io
import math
import os
import pickle
import threading
import warnings
import weakref

import pytest
import torch
from torch import nn
from torch.nn.modules import module as modules_of_torch
from torch.optim import optimizer as optimizers_of_torch

from layerscope.engine.probe import aside
from layerscope.engine.probe.pace import Pace
from layerscope.engine.probe.step import Outline, Quantity, Step
from layerscope.engine.probe.telling import ProbeWarning, TrainingStopped
from layerscope.engine.probe.watch import watch
from layerscope.engine.statistics import Figures, Statistics, statistics
from tests.trainings import Training, data, mlp


def hooks():
    """How many global hooks there are."""
    return (
        len(modules_of_torch._global_forward_hooks),
        len(modules_of_torch._global_backward_hooks),
        len(optimizers_of_torch._global_optimizer_pre_hooks),
        len(optimizers_of_torch._global_optimizer_post_hooks),
    )


@pytest.fixture(autouse=True)
def no_hook_is_left():
    before = hooks()
    yield
    assert hooks() == before


def watched(training, **options):
    return watch(training.model, training.optimizers, to=":memory:", **options)


def bits(model):
    return [p.detach().clone() for p in model.parameters()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


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


def test_a_step_is_read_without_its_histograms_too():
    training = mlp()
    with watched(training) as probe:
        training.run(probe, steps=1)
    (step,) = probe.steps()
    outline = Outline.from_bytes(step.to_bytes())
    for name in Outline.__struct_fields__:
        if name != "statistics":
            assert getattr(outline, name) == getattr(step, name), name
    names = Figures.__struct_fields__
    assert [each.part(*names) for each in outline.statistics] == [
        each.part(*names) for each in step.statistics
    ]
    assert outline.update_ratio(0) == step.update_ratio(0)


def test_a_step_goes_to_bytes_and_back():
    training = mlp()
    with watched(training) as probe:
        training.run(probe, steps=1)
    (step,) = probe.steps()
    again = Step.from_bytes(step.to_bytes())
    assert again == step
    assert again.update_ratio(0) == pytest.approx(
        step.of(0, Quantity.UPDATE).rms / step.of(0, Quantity.VALUE).rms
    )


def test_every_hook_is_gone_at_the_end():
    before = hooks()
    training = mlp()
    model = training.model
    with watched(training, every=1) as probe:
        assert hooks() != before
        training.run(probe)
        kept = training.forward(0)  # a graph that outlives the probe
    assert hooks() == before
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())
    kept.backward()
    names = {t.name for t in threading.enumerate()}
    assert "layerscope probe" not in names


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_ends_a_training_passes_through(error):
    before = hooks()
    training = mlp()
    with pytest.raises(error), watched(training, every=1) as probe:
        training.run(probe, steps=2)
        raise error
    assert hooks() == before
    assert probe.state == ("failed" if error is ValueError else "stopped")
    assert len(probe.steps()) == 2


def test_an_error_within_a_step_passes_through_and_the_next_is_recorded():
    training = mlp()
    with watched(training, every=1) as probe:
        with pytest.raises(RuntimeError):
            training.model(torch.zeros(3, 5))
        training.run(probe, steps=2)
    assert len(probe.steps()) == 2


def test_a_failing_probe_warns_once_and_the_training_goes_on(monkeypatch):
    alone, training = mlp(), mlp()
    training.model.load_state_dict(alone.model.state_dict())
    alone.run()
    before = hooks()
    with watched(training, every=1) as probe:

        def broken(*_):
            raise ZeroDivisionError("broken on purpose")

        monkeypatch.setattr(probe._recorder.modules, "_called", broken)
        with pytest.warns(ProbeWarning, match=r"is off now.*ZeroDivisionError: broken") as told:
            training.run(probe)
        assert len(told) == 1
        assert hooks() == before
    assert same(bits(alone.model), bits(training.model))
    assert isinstance(probe.error, ZeroDivisionError)


def test_a_failing_writing_thread_switches_off_too(monkeypatch, recwarn):
    training = mlp()
    with watched(training, every=1) as probe:

        def broken(*_, **__):
            raise ZeroDivisionError("broken on purpose")

        monkeypatch.setattr(probe._sink, "step", broken)
        training.run(probe)
        probe._writer.wait()
        training.run(probe)
    assert isinstance(probe.error, ZeroDivisionError)


def test_warnings_as_errors_end_no_training(capsys):
    """This suite's warnings are errors."""
    training = mlp()
    with watch(training.model, torch.optim.SGD(training.model.parameters(), 0.1),
               to=":memory:") as probe:  # fmt: skip
        training.forward(0).backward()
        probe.step(1.0)
    assert "no optimiser step was seen" in capsys.readouterr().err


def test_a_watched_model_pickles_and_copies():
    training = mlp()
    with watched(training, every=1) as probe:
        training.run(probe, steps=2)
        twin = copy.deepcopy(training.model)
        pickle.loads(pickle.dumps(training.model))  # noqa: S301
        copy.deepcopy(training.optimizers[0])
        torch.save(training.model, io.BytesIO())
        twin(torch.zeros(2, 8)).sum().backward()
        training.run(probe, steps=1)
    last = probe.steps()[-1]
    assert last.of(0, Quantity.ACTIVATION).count == 16 * 8, "the copy is not the model"


def test_nothing_of_a_closed_probe_is_held():
    training = mlp()
    with watched(training) as probe:
        training.run(probe, steps=2)
    gone = weakref.ref(training.model)
    del probe, training
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forked_data_loaders_work():
    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return 32

        def __getitem__(self, index):
            return training.model(torch.ones(8)).detach() * 0 + torch.ones(8)

    training = mlp()
    loader = torch.utils.data.DataLoader(
        Data(), batch_size=16, num_workers=1, multiprocessing_context="fork"
    )
    with watched(training, every=1) as probe:
        for x in loader:
            loss = training.model(x[:, :1].expand(-1, 8)).square().mean()
            loss.backward()
            training.optimizers[0].step()
            probe.step(loss)
    assert len(probe.steps()) == 2
    assert probe.error is None


def test_memory_is_bounded():
    training = mlp()
    with watched(training, every=1) as probe:
        probe.ring.most_steps = 5
        training.run(probe, steps=12)
    assert [s.number for s in probe.steps()] == [8, 9, 10, 11, 12]


def test_every_and_budget_decide_what_is_recorded():
    training = mlp()
    with watched(training, every=4) as probe:
        training.run(probe, steps=10)
    assert [s.number for s in probe.steps()] == [1, 5, 9]
    with watched(training) as probe:
        training.run(probe, steps=60)
    cost = probe.cost()
    assert 2 <= cost["recorded"] < 40
    assert cost["steps"] == 60
    assert cost["measured"] == "steps of both kinds"


def test_a_closed_probe_ignores_more_steps():
    training = mlp()
    with watched(training) as probe:
        training.run(probe, steps=1)
    probe.step(1.0)
    probe.close()
    assert len(probe.steps()) == 1


class TestWrongUse:
    def test_no_module(self):
        with pytest.raises(TypeError, match=r"model: expected an nn\.Module, got int"):
            watch(3)

    def test_no_parameters(self):
        with pytest.raises(ValueError, match="ReLU has no parameters"):
            watch(nn.ReLU())

    def test_another_models_optimizer(self):
        with pytest.raises(ValueError, match="none of its parameters is one of the model's"):
            watch(nn.Linear(1, 1), torch.optim.SGD(nn.Linear(1, 1).parameters()))

    def test_no_optimizer(self):
        with pytest.raises(TypeError, match=r"expected a torch\.optim\.Optimizer.*got float"):
            watch(nn.Linear(1, 1), 0.1)

    @pytest.mark.parametrize("options", [{"every": 0}, {"every": 1.5}, {"budget": 0}])
    def test_settings(self, options):
        (name,) = options
        with pytest.raises(ValueError, match=f"{name}: expected"):
            watch(nn.Linear(1, 1), **options)

    @pytest.mark.parametrize("config", [[("lr", 1)], "lr=1", 3])
    def test_a_config_that_is_no_mapping(self, config):
        with pytest.raises(TypeError, match="config: expected a mapping of settings, got"):
            watch(nn.Linear(1, 1), config=config)

    @pytest.mark.parametrize(
        ("option", "value", "error", "said"),
        [
            ("stop_on", "fatal", ValueError, "one of info, warning, error, or None, got 'fatal'"),
            ("on_finding", [], TypeError, "expected a function of a finding, got list"),
            ("scaler", 1024.0, TypeError, r"expected a torch\.amp\.GradScaler, got float"),
            ("loss", "mse", TypeError, "expected the loss function, got str"),
            ("every", True, ValueError, "expected a number of steps"),
        ],
    )
    def test_what_is_called_or_compared_later(self, option, value, error, said):
        with pytest.raises(error, match=f"{option}: .*{said}"):
            watch(nn.Linear(1, 1), **{option: value})

    def test_a_probe_inside_a_probe(self):
        training = mlp()
        with watched(training), pytest.raises(ValueError, match="watched already"):
            watched(training)
        watched(training).close()

    def test_step_called_twice(self):
        training = mlp()
        with watched(training) as probe:
            training.run(probe, steps=2)
            with pytest.warns(ProbeWarning, match="called twice after step 2"):
                probe.step(1.0)
            probe.step(1.0)

    def test_a_loss_that_is_no_number(self):
        training = mlp()
        with watched(training, every=1) as probe:
            training.forward(0).backward()
            training.optimizers[0].step()
            with pytest.warns(ProbeWarning, match=r"one number, got a tensor of shape \(3,\)"):
                probe.step(torch.zeros(3))
            assert probe.steps()[-1].loss is None

    def test_a_loss_that_is_not_finite_is_recorded_as_it_is(self):
        training = mlp()
        with watched(training, every=1) as probe:
            training.forward(0).backward()
            training.optimizers[0].step()
            probe.step(math.nan)
        assert math.isnan(probe.steps()[-1].loss)

    def test_loss_without_a_function(self):
        with watched(mlp()) as probe, pytest.raises(ValueError, match="give the loss function"):
            probe.loss(1, 2)


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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using .torch.compile")
def test_a_compiled_model_trains_in_the_same_bits_and_says_what_is_not_seen():
    def run(watching):
        torch.manual_seed(0)
        training = mlp()
        model = torch.compile(training.model, backend="aot_eager")
        training.forward = lambda n: model(torch.full((4, 8), 0.1 * n)).square().mean()
        if not watching:
            training.run()
            return training, None
        with (
            pytest.warns(ProbeWarning, match="Sequential is compiled: what happens inside"),
            watch(model, training.optimizers, every=1, to=":memory:") as probe,
        ):
            training.run(probe)
        return training, probe

    alone, _ = run(False)
    seen, probe = run(True)
    assert same(bits(alone.model), bits(seen.model))
    assert probe.error is None
    quantities = {slot.quantity for slot in probe.steps()[-1].slots}
    assert quantities == {Quantity.VALUE, Quantity.UPDATE, Quantity.PARAMETER_GRADIENT}
    torch._dynamo.reset()


class Chain(nn.Sequential):
    """Of one's own, so that Dynamo compiles it, and its children within it."""

    def forward(self, x):
        for module in self:
            x = module(x)
        return x


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is compiled")
@pytest.mark.parametrize("every", [1, 3])
def test_a_module_compiled_in_place_is_compiled_once(every):
    """Whatever the probe does from step to step, in hooks that are traced with the module."""
    graphs = []
    torch.manual_seed(0)
    model = Chain(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))
    model.compile(backend=lambda graph, _: graphs.append(graph) or graph, fullgraph=True)
    training = Training(
        model, [torch.optim.SGD(model.parameters(), 0.1)], lambda n: model(data(n, 4, 8)).mean()
    )
    with (
        torch._dynamo.config.patch(error_on_recompile=True),
        watched(training, every=every) as probe,
    ):
        training.run(probe, steps=7)
    assert probe.error is None, probe.error
    assert len(graphs) == 1
    torch._dynamo.reset()


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


def test_a_probe_that_cannot_begin_is_off_and_leaves_nothing():
    class Broken:
        def get_scale(self):
            raise ZeroDivisionError("broken on purpose")

    training = mlp()
    before = hooks()
    with pytest.warns(ProbeWarning, match="is off now.*ZeroDivisionError"):
        probe = watched(training, scaler=Broken())
    assert hooks() == before
    training.run(probe, steps=2)
    probe.close()
    assert probe.steps() == []


def test_the_end_of_a_run_is_told_whatever_fails_before_it():
    training, told = mlp(), {}
    with watched(training, every=1) as probe:

        def broken(_):
            raise ZeroDivisionError("broken on purpose")

        training.run(probe, steps=1)
        probe._writer.wait()
        probe._sink.findings = broken
        probe._sink.summary = told.update
        probe._sink.finish = lambda state: told.update(state=state)
        with pytest.warns(ProbeWarning, match="ZeroDivisionError"):
            probe.close()
    assert told["state"] == "finished"
    assert told["error"] == "ZeroDivisionError: broken on purpose"
    assert told["cost"]["recorded"] == 1


def test_a_closed_probe_holds_nothing_of_the_training():
    training = mlp()
    with watched(training, every=1) as probe:
        training.run(probe, steps=2)
        output = training.model(torch.zeros(3, 8))
        gone = weakref.ref(output)
        del output
    assert gone() is None
    assert all(t.snapshot is None for t in probe.watched.tracked.values())


def test_another_probes_end_is_not_swallowed():
    training, other = mlp(), mlp()
    nan = torch.full((4, 8), math.nan)
    with (
        watched(other, every=1) as outer,
        watched(training, every=1, stop_on="error") as inner,
    ):
        other.run(outer, steps=1)
        loss = training.model(nan).sum()
        loss.backward()
        training.optimizers[0].step()
        with pytest.raises(TrainingStopped) as raised:
            inner.step(loss)
    assert (outer.state, inner.state) == ("finished", "finished")
    with pytest.raises(TrainingStopped), watched(other) as third:
        raise raised.value
    assert third.state == "failed"


def test_a_removed_working_directory_is_no_obstacle(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    training = mlp()
    with watched(training, every=1) as probe:
        training.run(probe, steps=1)
    assert probe.error is None


def test_pytorchs_warning_about_global_hooks_is_left_out_while_any_probe_is_there():
    said = "Using `torch.compile(module)` when there are global hooks on modules"

    def loud():
        with warnings.catch_warnings(record=True) as heard:
            warnings.warn(said, UserWarning, stacklevel=1)
        return len(heard)

    one, other = watched(mlp()), watched(mlp())
    assert loud() == 0
    one.close()
    assert loud() == 0
    other.close()
    with pytest.raises(UserWarning, match="when there are global hooks"):
        warnings.warn(said, UserWarning, stacklevel=1)


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


def frozen_first():
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model[2].parameters(), 0.1)
    return Training(model, [optimizer], lambda n: model(torch.ones(3, 6) * (n + 1)).sum())


def test_facts_that_change_reach_whoever_keeps_the_run():
    training = frozen_first()
    told = []
    with watched(training, every=1) as probe:
        probe._sink.modules = lambda facts: told.append([copy.deepcopy(f) for f in facts])
        training.run(probe, steps=2)
        training.model[0].requires_grad_(True)
        training.optimizers[0].add_param_group({"params": list(training.model[0].parameters())})
        training.run(probe, steps=2)
    said = [[(p.trains, p.group) for p in facts[0].parameters.values()] for facts in told]
    assert said == [[(False, None)] * 2, [(True, 1)] * 2]
    assert probe.ring.facts == told[-1]


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


def test_a_model_whose_probe_has_failed_can_be_watched_again(monkeypatch):
    training = mlp()
    with watched(training, every=1) as first:

        def broken(*_):
            raise ZeroDivisionError("broken on purpose")

        monkeypatch.setattr(first._recorder.modules, "_called", broken)
        with pytest.warns(ProbeWarning, match="is off now"):
            training.run(first)
        with watched(training, every=1) as second:
            training.run(second, steps=3)
        assert [step.number for step in second.steps()] == [1, 2, 3]


@pytest.mark.parametrize("when", ["before the step ends", "as the next one begins"])
def test_a_probe_that_has_failed_begins_no_step(monkeypatch, when):
    """The writing thread may fail at any time, in the middle of the training's own step."""
    training = mlp()
    with watched(training, every=1) as probe:
        training.run(probe, steps=2)
        ended, began = probe.pace.ended, probe._recorder.optimizers.begin
        begun = []

        def fails(*given):
            probe._failed(ZeroDivisionError("broken on purpose"))
            ended(*given)

        def late(*given, **named):
            begun.append(given)
            if when == "as the next one begins":
                probe._failed(ZeroDivisionError("broken on purpose"))
            began(*given, **named)

        if when == "before the step ends":
            monkeypatch.setattr(probe.pace, "ended", fails)
        monkeypatch.setattr(probe._recorder.optimizers, "begin", late)
        with pytest.warns(ProbeWarning, match="is off now"):
            training.run(probe, steps=2)
        assert len(begun) == (when == "as the next one begins")
        assert not probe._recorder.modules.mode
        optimizers = probe._recorder.optimizers
        assert not optimizers.mode
        assert not optimizers.aside.holds  # no parameter, for a step that never comes


def test_findings_are_asked_for_once_after_the_first_nan(monkeypatch):
    training, told = mlp(), []
    with watched(training, every=1, on_finding=told.append) as probe:
        training.run(probe, steps=5)  # what follows looks closer every eighth step
        asked = []
        real = probe.findings
        monkeypatch.setattr(probe, "findings", lambda: asked.append(probe.number) or real())
        with torch.no_grad():
            next(training.model.parameters()).fill_(math.nan)
        training.run(probe, steps=3)
    assert asked == [6]
    assert [f.rule for f in told if f.rule == "nonfinite"] == ["nonfinite"]


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
