"""Every kind of network: the training's bits are its own, and the probe saw what there was."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from layerscope.engine.probe.step import Quantity
from layerscope.engine.probe.watch import watch
from tests.trainings import ARCHITECTURES


def started(name):
    torch.manual_seed(0)
    return ARCHITECTURES[name]()


def state(training):
    """Everything that a training has changed, the random state too."""
    tensors = dict(training.model.state_dict())
    for number, optimizer in enumerate(training.optimizers):
        for key, values in optimizer.state_dict()["state"].items():
            tensors |= {f"{number}.{key}.{n}": v for n, v in values.items()}
    tensors["random"] = torch.random.get_rng_state()
    return {n: t.clone() for n, t in tensors.items() if isinstance(t, torch.Tensor)}


@pytest.mark.filterwarnings("default:.*:UserWarning")
@pytest.mark.parametrize("every", [1, 3, None])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_training_ends_in_the_same_bits(name, every):
    alone = started(name)
    alone.run()
    expected = state(alone)
    seen = started(name)
    options = {"every": every, "scaler": seen.scaler, "to": ":memory:"}
    with watch(seen.model, seen.optimizers, **options) as probe:
        seen.run(probe)
        assert probe.error is None, probe.error
    found = state(seen)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
    assert probe.steps()


@pytest.mark.filterwarnings("default:.*:UserWarning")
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_what_there_was_is_recorded(name):
    seen = started(name)
    options = {"every": 1, "scaler": seen.scaler, "to": ":memory:"}
    with watch(seen.model, seen.optimizers, **options) as probe:
        seen.run(probe)
    step, facts = probe.steps()[-1], probe.facts()
    assert probe.error is None
    assert step.number == len(probe.steps()) == 6
    assert step.records(facts)
    for each in facts:
        if each.shape:
            assert step.of(each.index, Quantity.ACTIVATION) is not None, each.name
        for place, (parameter, about) in enumerate(each.parameters.items()):
            if about.tied_to is None:
                assert step.of(each.index, Quantity.VALUE, place) is not None, parameter
    trained = [s for s in step.slots if s.quantity == Quantity.UPDATE]
    assert trained
    for slot in trained:
        assert step.of(slot.module, Quantity.PARAMETER_GRADIENT, slot.parameter) is not None


@pytest.mark.slow
def test_the_first_activation_of_a_process_may_be_seen_within_a_checkpoint(interpreter):
    """Where an activation is flat is worked out once a process, by autograd: what that keeps is not
    the checkpoint's, which holds what its two forward passes keep against each other."""
    script = """
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
import layerscope

body = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.GELU())
optimizer = torch.optim.SGD(body.parameters(), 0.1)
with layerscope.watch(body, optimizer, every=1, to=":memory:") as probe:
    for _ in range(3):
        loss = checkpoint(body, torch.ones(2, 4), use_reentrant=False).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        probe.step(loss)
assert probe.error is None, probe.error
print([len(step.modules) for step in probe.steps()])
"""
    done = interpreter.run("-c", script)
    assert done.stdout == "[4, 4, 4]\n", done.stderr


def test_a_nan_may_be_made_within_a_checkpoint():
    class Log(nn.Module):
        def forward(self, x):
            return x.log()

    body = nn.Sequential(nn.Linear(4, 4), Log(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(body.parameters(), 0.1)
    with watch(body, optimizer, every=1, to=":memory:") as probe:
        probe._recorder.modules.checks = True
        loss = checkpoint(body, -torch.ones(2, 4), use_reentrant=False).sum()
        loss.backward()
        optimizer.step()
        probe.step(loss)
    assert probe.error is None, probe.error
    assert (probe.origin.module, probe.origin.direction) == ("1", "forward")
