"""A scale of what the loss sends back: seen in every gradient, divided out of every training."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch

from layerscope.engine.analyses.precision import precision
from layerscope.engine.diagnosis.gathering import gather
from layerscope.engine.diagnosis.learning import Learning
from layerscope.engine.diagnosis.run import result
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.optimizers import Adam, Sgd
from layerscope.engine.execution.passes import BackwardStep, LossStep, passes
from layerscope.engine.execution.steps import KeptNetwork, training
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.maps.training import train
from layerscope.engine.statistics import statistics
from layerscope.engine.theory.experiments import predict_experiment
from layerscope.engine.training import Trainer, Training
from layerscope.engine.training.recording import scaled, step_of, unscaled
from tests.simulation import assert_theory_is_simulated

SMALL = Experiment(depth=3, width=12, batch=8, activation="tanh")


def scaled_by(scale, experiment=SMALL):
    return Experiment.model_validate({**experiment.to_dict(), "backward_scale": scale})


def gradients(experiment):
    """By the layers' outputs, from the last to the first, and by their parameters; the loss."""
    found, loss = [], math.nan
    for step in passes(Network(experiment)):
        if isinstance(step, LossStep):
            loss = float(step.loss)
        elif isinstance(step, BackwardStep):
            found += [step.gradient.clone(), *(g.clone() for g in step.layer.gradients.values())]
    return found, loss


@pytest.mark.parametrize("change", [{}, {"reduction": "sum"}, {"norm": "layer", "residual": True}])
def test_every_gradient_is_scaled_and_the_loss_is_not(change):
    own = Experiment.model_validate({**SMALL.to_dict(), **change})
    (plain, loss), (found, same) = gradients(own), gradients(scaled_by(1024.0, own))
    assert loss == same
    for a, b in zip(plain, found, strict=True):
        assert torch.equal(a * 1024, b)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_gradients_equal_autograds(dtype, loss):
    data = "digits" if loss == "cross_entropy" else "gaussian"
    own = Experiment(depth=2, width=12, batch=16, dtype=dtype, data=data, loss=loss)
    told, plain = (result(e, fixes=False)["check"] for e in (scaled_by(100.0, own), own))
    bound = {"float64": 1e-9, "float32": 1e-4, "bfloat16": 0.2, "float16": 0.05}[dtype]
    assert told["autograd_max_relative_error"] < bound
    assert (told["torch_max_relative_error"] is None) == (dtype == "float64")
    assert told["compared"] >= plain["compared"]


def test_a_scale_beyond_the_formats_largest_number_is_compared_all_the_same():
    """Of small gradients times 10⁵ nothing overflows: autograd must not either."""
    small = Experiment(depth=2, width=12, batch=512, dtype="float16", output_scale=0.1)
    told = result(scaled_by(1e5, small), fixes=False)
    assert told["findings"] == []
    assert told["check"]["torch_max_relative_error"] < 0.05


def test_in_float16_underflow_goes_and_overflow_comes():
    small = Experiment(depth=8, width=32, batch=64, dtype="float16", init_scale=0.1)
    lost, kept = (gradients(scaled_by(s, small))[0] for s in (1.0, 2.0**14))
    assert not lost[-2].count_nonzero()  # the first layer's weight
    assert kept[-2].count_nonzero() > 0.5 * kept[-2].numel()
    healthy = Experiment(depth=8, width=32, batch=64, dtype="float16")
    found = result(scaled_by(1e9, healthy), check=False)["findings"][0]
    assert (found["rule"], found["direction"]) == ("nonfinite", "backward")
    assert found["fix"] == {"backward_scale": 1.0}


CASES = [
    {},
    {"depth": 8, "activation": "relu", "norm": "layer", "residual": True},
    {"depth": 20, "activation": "relu", "init_scale": 1.3},
    {"depth": 20, "init_scale": 0.4},
    {"depth": 6, "init": "zeros"},
    {"depth": 6, "init": "constant", "activation": "relu"},
    {"depth": 6, "dtype": "bfloat16", "width": 32, "batch": 32},
]


@pytest.mark.parametrize("scale", [1024.0, 1000.0, 0.25])
@pytest.mark.parametrize("change", CASES, ids=str)
def test_rules_do_not_accuse_because_of_it(change, scale):
    own = Experiment.model_validate({**SMALL.to_dict(), **change})

    def told(experiment):
        return [
            (f["rule"], f["severity"], f["layers"], f["title"], f["explanation"])
            for f in result(experiment, check=False, fixes=False)["findings"]
        ]

    before, after = told(own), told(scaled_by(scale, own))
    if scale != 1000.0:  # else the last digit may be another
        assert after == before
    assert [f[:3] for f in after] == [f[:3] for f in before]


def test_a_short_training_does_not_depend_on_it():
    for optimizer in (Sgd, Adam):
        losses = [
            list(islice(training(KeptNetwork(scaled_by(s)), optimizer(0.03)), 30))
            for s in (1.0, 1024.0, 1000.0, 1e-6, 1e9)
        ]
        assert losses[0][-1] < 0.9 * losses[0][0]
        assert losses[1] == losses[0]  # a power of two changes no bit
        for other in losses[2:]:
            assert other == pytest.approx(losses[0], rel=1e-4)


def test_whether_it_learns_does_not_depend_on_it():
    for scale in (1e9, 1e-6):
        assert Learning().with_both(scaled_by(scale, Experiment(depth=2, width=16, batch=16)))


def test_first_steps_do_not_depend_on_it():
    """Copies that a residual sum parts: steps a thousand times as long would tell otherwise."""
    zeros = Experiment(depth=4, width=12, batch=16, init="zeros", bias_std=0.3, residual=True)
    for own in (zeros, Experiment(depth=4, width=12, batch=16, init="constant", residual=True)):
        a, b = (gather(scaled_by(s, own)).records for s in (1.0, 2.0**20))
        assert [(r.stays_alike, r.gradient_comes) for r in a] == [
            (r.stays_alike, r.gradient_comes) for r in b
        ]


def trained(experiment, how, steps=20):
    trainer = Trainer(experiment, how)
    done = [trainer.advance() for _ in range(steps)]
    return [d.loss for d in done], trainer.state()["parameters"], done


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("scale", [1024.0, 1000.0])
def test_a_training_does_not_depend_on_it(optimizer, scale):
    how = Training(optimizer=optimizer, learning_rate=0.01)
    losses, parameters, _ = trained(SMALL, how)
    found, own, done = trained(scaled_by(scale), how)
    assert done[0].scale == scale
    if scale == 1024.0:
        assert found == losses
        assert all(torch.equal(own[name], value) for name, value in parameters.items())
    assert found == pytest.approx(losses, rel=1e-4)
    # Two hundred steps of Adam leave a ten-billionth of the loss, which is rounding by itself.
    how = how.model_copy(update={"steps": 60})
    assert train(scaled_by(scale), how).loss == pytest.approx(train(SMALL, how).loss, rel=1e-3)


def test_the_trainings_own_scale_multiplies_with_it():
    how = Training(loss_scale=2.0**5)
    losses, parameters, _ = trained(SMALL, Training())
    found, own, done = trained(scaled_by(2.0**7), how)
    assert (found, done[0].scale) == (losses, 2.0**12)
    assert all(torch.equal(own[name], value) for name, value in parameters.items())
    half = Experiment(depth=2, width=16, batch=16, dtype="float16", backward_scale=2.0**20)
    trainer = Trainer(half, Training(loss_scale=2.0**10, dynamic=True))
    steps = [trainer.advance() for _ in range(40)]
    assert steps[0].skipped
    assert steps[0].scale == 2.0**30
    assert trainer.scale < 2.0**10
    assert not steps[-1].skipped
    assert math.isfinite(steps[-1].loss)


@pytest.mark.parametrize("scale", [1024.0, 1000.0, 0.3])
def test_a_runs_figures_are_without_it(scale):
    plain, found = (
        step_of(Trainer(scaled_by(s), Training()).advance(record=True), "everything", None)
        for s in (1.0, scale)
    )
    assert found.scale == scale
    for a, b in zip(plain.statistics, found.statistics, strict=True):
        assert b.rms == pytest.approx(a.rms, rel=1e-5)


def test_statistics_are_unscaled():
    x = torch.tensor([0.25, -3.0, 0.0, math.inf], dtype=torch.float64)
    assert unscaled(statistics(x * 8), 8.0) == scaled(statistics(x * 8), -3) == statistics(x)
    found = unscaled(statistics(x * 1000), 1000.0)
    assert (found.rms, found.min, found.max) == pytest.approx((statistics(x).rms, -3.0, 0.25))
    assert (found.zeros, found.posinf, found.count) == (1, 1, 4)


@pytest.mark.parametrize("scale", [1024.0, 2.0**-6])
def test_the_advised_loss_scale_is_in_its_place(scale):
    small = Experiment(depth=4, width=32, batch=64, init_scale=0.1)
    plain, found = (precision(e, dtypes=()).scales for e in (small, scaled_by(scale, small)))
    assert {n: s.to_dict() for n, s in found.items()} == {n: s.to_dict() for n, s in plain.items()}
    assert plain["float16"].advised > 0
    odd = precision(scaled_by(1000.0, small), dtypes=()).scales["float16"]
    assert 0 <= odd.least - plain["float16"].least <= 1
    assert 0 <= plain["float16"].most - odd.most <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [{}, {"activation": "gelu", "width": 40, "depth": 10}, {"loss": "mae"}], ids=str
)
def test_theory_equals_simulation(change):
    assert_theory_is_simulated({"backward_scale": 300.0, **change})


def test_theory_is_multiplied():
    plain, found = (predict_experiment(scaled_by(s)) for s in (1.0, 1000.0))
    assert found.chi1 == plain.chi1
    for a, b in zip(plain.layers, found.layers, strict=True):
        assert b.activation == a.activation
        assert b.gradient.rms == pytest.approx(a.gradient.rms + 3)
