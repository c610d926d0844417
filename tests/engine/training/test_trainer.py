"""Trainings of ours, beside PyTorch's own on the same network, and again from a checkpoint."""

from __future__ import annotations

import math

import pytest
import torch

from layerscope.engine.execution.optimizers import OPTIMIZERS
from layerscope.engine.execution.schedules import SCHEDULES, factor
from layerscope.engine.experiment import Experiment
from layerscope.engine.probe.step import Quantity, Step
from layerscope.engine.statistics import statistics
from layerscope.engine.training import Trainer, Training
from layerscope.engine.training.origin import origin_of
from layerscope.engine.training.recording import facts_of, scaled, step_of

TINY = Experiment(depth=3, width=12, batch=24, activation="tanh", norm="layer")


def parameters(trainer):
    return {
        f"{info.name}.{name}": value.clone()
        for info in trainer.network.infos
        for name, value in trainer.network.layers[info.index].parameters.items()
    }


def trained(trainer, steps, **how):
    return [trainer.advance(**how) for _ in range(steps)]


def autograd_losses(experiment, rate, steps):
    """The same gradient descent with PyTorch's operators and its gradients."""
    trainer = Trainer(experiment, Training())
    network = trainer.network
    own = [
        {n: v.clone().requires_grad_() for n, v in network.layers[i.index].parameters.items()}
        for i in network.infos
    ]
    optimizer = torch.optim.SGD([p for each in own for p in each.values()], rate)
    losses = []
    for _ in range(steps):
        x = skip = network.x
        for info, each in zip(network.infos, own, strict=True):
            x = info.layer.torch_forward(x, each, skip)
            skip = x if info.ends_block else skip
        loss = network.loss.reference(x, network.target)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


@pytest.mark.parametrize(
    "experiment",
    [
        TINY.model_copy(update={"dtype": "float64"}),
        TINY.model_copy(update={"dtype": "float64", "residual": True, "activation": "relu"}),
        Experiment(depth=2, width=16, batch=32, data="digits", loss="cross_entropy",
                   dtype="float64"),
    ],
)  # fmt: skip
def test_the_losses_are_those_of_autograd_and_torch_optim(experiment):
    ours = [done.loss for done in trained(Trainer(experiment, Training(learning_rate=0.05)), 25)]
    assert ours == pytest.approx(autograd_losses(experiment, 0.05, 25), rel=1e-9)
    assert ours[-1] < ours[0]


@pytest.mark.parametrize("how", [
    {"optimizer": name, "fresh": fresh, "schedule": "cosine", "warm_up": 3}
    for name, fresh in zip(OPTIMIZERS, [False, True] * 3, strict=True)
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_from_a_state_it_goes_on_to_the_same_bits(how, dtype):
    experiment = TINY.model_copy(update={"dtype": dtype, "init": "lsuv"})
    training = Training(steps=20, learning_rate=0.02, **how)
    whole = Trainer(experiment, training)
    first = trained(whole, 7)
    state = whole.state()
    rest = trained(whole, 6, record=True)  # recording leaves no trace
    again = Trainer(experiment, training)
    again.restore(state)
    assert [d.loss for d in trained(again, 6)] == [d.loss for d in rest]
    assert first[0].loss != rest[-1].loss
    ours, theirs = parameters(again), parameters(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with pytest.raises(ValueError, match="this network"):
        Trainer(experiment.model_copy(update={"width": 5}), training).restore(state)


def test_a_recorded_step_holds_what_happened():
    trainer = Trainer(TINY, Training(learning_rate=0.1))
    before = parameters(trainer)
    done = trainer.advance(record=True)
    after = parameters(trainer)
    step = Step.from_bytes(step_of(done, "everything", None).to_bytes())
    facts = facts_of(done.records)
    assert [f.name for f in facts] == [i.name for i in trainer.network.infos]
    assert step.of(0, Quantity.INPUT) == statistics(trainer.network.x)
    for each in facts:
        for place, name in enumerate(each.parameters):
            full = f"{each.name}.{name}"
            assert step.of(each.index, Quantity.VALUE, place) == statistics(before[full])
            change = after[full] - before[full]
            assert step.of(each.index, Quantity.UPDATE, place) == statistics(change)
            gradient = step.of(each.index, Quantity.PARAMETER_GRADIENT, place)
            assert gradient.rms * 0.1 == pytest.approx(statistics(change).rms, rel=1e-3)
    assert step.loss == done.loss
    assert step.learning_rates == [0.1]
    signals = step_of(done, "signals", None)
    assert {s.quantity for s in signals.slots} == {
        Quantity.INPUT, Quantity.ACTIVATION, Quantity.GRADIENT,
    }  # fmt: skip
    assert Quantity.ACTIVATION not in {s.quantity for s in step_of(done, "parameters", None).slots}


def test_a_loss_scale_of_a_power_of_two_changes_nothing_that_does_not_underflow():
    plain, scaling = (
        Trainer(TINY, Training(loss_scale=scale)).advance(record=True) for scale in (1.0, 1024.0)
    )
    assert scaling.gradients == plain.gradients
    steps = [step_of(done, "signals", None) for done in (plain, scaling)]
    assert steps[0].statistics == steps[1].statistics
    assert steps[1].scale == 1024.0
    x = torch.tensor([0.25, -3.0, 0.0, math.inf])
    assert scaled(statistics(x), -3) == statistics(x / 8)


def test_float16_without_a_scale_loses_gradients_that_a_scale_keeps():
    small = Experiment(depth=8, width=32, batch=64, dtype="float16", init_scale=0.1)
    lost = Trainer(small, Training()).advance(record=True)
    kept = Trainer(small, Training(loss_scale=2.0**14)).advance(record=True)
    assert lost.gradients["linear1.weight"].zeros == lost.gradients["linear1.weight"].count
    assert kept.gradients["linear1.weight"].rms > 0


def test_a_dynamic_scale_leaves_a_step_out_and_is_halved():
    experiment = Experiment(depth=2, width=16, batch=16, dtype="float16")
    trainer = Trainer(experiment, Training(loss_scale=2.0**24, dynamic=True))
    before = parameters(trainer)
    done = trainer.advance(record=True)
    assert done.skipped
    assert trainer.scale == 2.0**23
    assert all(torch.equal(v, before[n]) for n, v in parameters(trainer).items())
    while done.skipped:
        done = trainer.advance()
    assert trainer.optimizer.step == 1
    assert any(not torch.equal(v, before[n]) for n, v in parameters(trainer).items())


@pytest.mark.parametrize(
    ("how", "direction", "words"),
    [
        ({"loss": "mse"}, "loss", "^2 = "),
        ({"loss": "mae", "depth": 12}, "forward", "more terms = "),
    ],
)
def test_the_first_value_that_is_not_finite_is_named_with_its_operands(how, direction, words):
    experiment = Experiment(width=16, batch=16).model_copy(update={"depth": 4, **how})
    trainer = Trainer(experiment, Training(learning_rate=1e7))
    done = trainer.advance(record=True)
    while (origin := origin_of(done)) is None:
        done = trainer.advance(record=True)
    assert (origin.direction, origin.step) == (direction, done.number)
    assert words in origin.operands
    assert "beyond" in origin.operands
    if direction == "forward":
        named = next(r for r in done.records if r.facts.name == origin.module)
        assert named.activation.finite < named.activation.count


def test_an_optimisers_step_beyond_the_format_is_told_of_that_step():
    trainer = Trainer(
        Experiment(width=16, batch=16, depth=3, dtype="float16"), Training(learning_rate=1e7)
    )
    trainer.advance(record=True)
    origin = origin_of(trainer.advance(record=True))
    assert (origin.direction, origin.step) == ("optimizer", 1)


def test_schedules_begin_with_the_whole_rate_and_never_exceed_it():
    for name in SCHEDULES:
        factors = [factor(name, step, 40) for step in range(1, 41)]
        assert factors[0] == 1
        assert factors == sorted(factors, reverse=True)
        assert min(factors) >= 0
    assert factor("constant", 1, 40, warm_up=4) == 0.25
