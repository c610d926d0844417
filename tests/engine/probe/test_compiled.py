"""Models that torch.compile has wrapped, and what it says of hooks."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from layerscope.engine.probe.step import Quantity
from layerscope.engine.probe.telling import ProbeWarning
from layerscope.engine.probe.watch import watch
from tests.trainings import Training, data, mlp
from tests.watching import bits, same, watched

pytestmark = pytest.mark.usefixtures("no_hook_is_left")


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
