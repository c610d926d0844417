"""What nobody can watch, or not like this, is said at once."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from layerscope.engine.probe.step import Quantity
from layerscope.engine.probe.telling import ProbeWarning
from layerscope.engine.probe.watch import watch
from tests.trainings import mlp
from tests.watching import watched

pytestmark = pytest.mark.usefixtures("no_hook_is_left")


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


def test_without_an_optimizer_the_modules_are_watched_all_the_same():
    """A loop that updates its parameters by hand."""
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    with watch(model, every=1, to=":memory:") as probe:
        for _ in range(3):
            loss = model(torch.ones(2, 4)).square().mean()
            loss.backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 0.1 * parameter.grad
                    parameter.grad = None
            probe.step(loss)
    assert probe.error is None, probe.error
    assert [facts.name for facts in probe.facts()] == ["0", "1", "2"]
    step = probe.steps()[-1]
    assert len(step.modules) == 3
    assert step.of(0, Quantity.ACTIVATION) is not None
    assert step.of(0, Quantity.GRADIENT) is not None
    assert step.of(0, Quantity.VALUE) is not None
