"""A step's tensors, computed anew: those whose figures were recorded, wherever it began."""

from __future__ import annotations

import pytest

from layerscope.engine.basis.cancellation import never
from layerscope.engine.execution.cost import cost
from layerscope.engine.experiment import Experiment
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.step import Quantity, Step
from layerscope.engine.statistics import statistics
from layerscope.engine.store import open_store
from layerscope.engine.store.entries import Batch, Start
from layerscope.engine.training import Training, step_cost
from layerscope.engine.training.again import again_cost, start_of, tensors_again
from layerscope.engine.training.folder import TrainingFolder
from layerscope.engine.training.run import train

TINY = {"depth": 2, "width": 8, "batch": 16, "activation": "tanh"}


def trained(path, training, rate=None, **changes):
    """A training that is over: its folder, and its steps as they were recorded."""
    store = open_store(path / "runs.db")
    folder = TrainingFolder(path / "trainings", "a")
    folder.create(Experiment(**{**TINY, **changes}), Training(**training))
    store.append("a", Batch(1, [Start("a", {}, 1.0)]))
    for number in train(folder.path.parent, "a", str(path / "runs.db"), never):
        if number == 9 and rate is not None:
            folder.wish_for(rate=rate)
    steps = {s.number: Step.from_bytes(s.payload) for s in store.steps("a")}
    facts = store.facts("a", ModuleFacts)
    store.close()
    return folder, facts, steps


@pytest.mark.parametrize(
    ("training", "changes"),
    [
        ({"optimizer": "adam", "fresh": True}, {"data": "digits", "loss": "cross_entropy"}),
        ({"optimizer": "momentum"}, {"norm": "batch", "residual": True}),
        ({"loss_scale": 3.0}, {}),
        ({"loss_scale": 2.0**12, "dynamic": True}, {"dtype": "float16"}),
        ({"learning_rate": 1e9}, {"activation": "relu"}),
    ],
)
def test_their_figures_are_those_that_were_recorded_to_the_last_bit(tmp_path, training, changes):
    folder, facts, steps = trained(tmp_path, {"steps": 26, **training}, 0.07, **changes)
    last = max(steps)
    for number in {1, 2, last // 2, last}:
        for module in facts:
            again = tensors_again(folder, number, module.name)
            assert again.start == start_of(folder, number) < number
            found = {(k.quantity, k.place): k for k in again.tensors}
            assert len(found) == 2 + 2 * len(module.parameters)
            for (quantity, place), kept in found.items():
                told = steps[number].of(module.index, quantity, place)
                assert kept.statistics.to_bytes() == told.to_bytes(), (number, module.name)
                assert kept.tensor.numel() == told.count
                assert int(kept.tensor.isnan().sum()) == told.nan
                assert kept.parameter in ("", *list(module.parameters)[place : place + 1])


def test_the_last_step_of_an_overflow_shows_what_is_not_finite(tmp_path):
    folder, facts, steps = trained(tmp_path, {"steps": 9, "learning_rate": 1e9}, activation="relu")
    last = max(steps)
    lost = [
        kept.statistics.count - kept.statistics.finite
        for module in facts
        for kept in tensors_again(folder, last, module.name).tensors
    ]
    assert sum(lost) > 0


def test_a_gradient_is_as_the_optimiser_had_it(tmp_path):
    folder, _, steps = trained(tmp_path, {"steps": 3, "loss_scale": 2.0**20})
    for kept in tensors_again(folder, 2, "linear2").tensors:
        own = statistics(kept.tensor)
        assert own.std == pytest.approx(kept.statistics.std, rel=1e-12)
        if kept.quantity is Quantity.GRADIENT:
            assert own.std < 1
    assert steps[2].scale == 2.0**20


def test_a_broken_checkpoint_is_passed_over_and_says_nothing_wrong(tmp_path):
    folder, _, steps = trained(tmp_path, {"steps": 26})
    *_, before, broken = [kept for kept in folder.checkpoints() if kept < 20]
    (folder.path / f"{broken}.pt").write_bytes(b"no checkpoint")
    again = tensors_again(folder, 20, "linear1")
    assert again.start == before
    value = next(k for k in again.tensors if k.quantity is Quantity.VALUE)
    assert value.statistics.std == steps[20].of(0, Quantity.VALUE).std


def test_an_unknown_layer_is_named(tmp_path):
    folder, _, _ = trained(tmp_path, {"steps": 1})
    with pytest.raises(ValueError, match="expected one of this network, got 'nowhere'"):
        tensors_again(folder, 1, "nowhere")


def test_it_costs_its_steps_and_a_pass_to_draw_the_network():
    experiment, training = Experiment(**TINY), Training()
    one, ten = (again_cost(experiment, training, steps) for steps in (1, 10))
    assert ten.flops - one.flops == 9 * step_cost(experiment, training).flops
    assert one.flops > step_cost(experiment, training).flops
    assert ten.bytes == one.bytes >= cost(experiment).bytes
