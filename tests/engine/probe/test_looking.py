"""The closer look: what is seen of a call, whoever looks at it and when."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from layerscope.engine.probe.looking import TOGETHER, Looker
from layerscope.engine.probe.watch import watch
from layerscope.engine.statistics import units


class Silent(nn.Module):
    """Its first three units are silent, but the third only in even calls."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        mask = torch.ones(x.shape[1])
        mask[: 2 + self.calls % 2] = 0.0
        return x.abs() * mask


class Writes(nn.Module):
    """Changes its input in place, from some call on."""

    def __init__(self, since):
        super().__init__()
        self.since, self.calls = since, 0

    def forward(self, x):
        self.calls += 1
        return x.mul_(0.0) if self.calls >= self.since else x * 1.0


def looks(model, steps, width=8):
    """Of every step and module, and what went out of the modules then."""
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    seen = []
    handles = [
        m.register_forward_hook(lambda _, __, out: seen[-1].append(out.detach().clone()))
        for m in model
    ]
    with watch(model, optimizer, every=1, to=":memory:") as probe:
        probe._recorder.looker.wanted = lambda: True
        for _ in range(steps):
            seen.append([])
            loss = model(torch.randn(16, width)).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.step(loss)
    for handle in handles:
        handle.remove()
    assert probe.error is None, probe.error
    return [[m.look for m in step.modules] for step in probe.steps()], seen


def test_looks_thin_out_as_a_training_goes_on():
    looker = Looker(None, None)
    wanted = [number for number in range(2000) if looker.wanted()]
    assert wanted[:8] == [0, 1, 2, 3, 8, 16, 24, 32]
    apart = [b - a for a, b in pairwise(wanted[4:])]
    assert apart == sorted(apart)
    assert (apart[0], apart[-1]) == (8, 64)
    assert all(gap <= max(8, last / 7) for last, gap in zip(wanted[4:], apart, strict=False))


@pytest.mark.parametrize("depth", [1, TOGETHER])
def test_what_the_writing_thread_sees_is_what_was_there(depth):
    layers = [m for _ in range(depth) for m in (nn.Linear(8, 8), nn.ReLU())]
    found, outputs = looks(nn.Sequential(*layers), 6)
    for step, there in zip(found, outputs, strict=True):
        assert [look.units for look in step] == [units(output) for output in there]
        assert all(look.saturation is not None for look in step[1::2])
        assert [look.units_alike for look in step[::2]] == [False] * depth


def test_dead_units_are_those_silent_in_every_look_of_the_window():
    found, _ = looks(nn.Sequential(nn.Linear(8, 8), Silent()), 6)
    assert [step[1].units.dead for step in found] == [3, 2, 3, 2, 3, 2]
    assert [step[1].dead for step in found] == [3, 2, 2, 2, 2, 2]
    assert [step[1].window for step in found] == [1, 2, 3, 4, 4, 4]


def test_nothing_is_said_of_what_was_changed_before_it_was_looked_at():
    model = nn.Sequential(nn.Linear(8, 8), Writes(since=3), nn.Linear(8, 1))
    found, outputs = looks(model, 6)
    for number, step in enumerate(found):
        look, there = step[0], outputs[number][0]
        assert look.units in (None, units(there))
    assert found[0][0].units is not None
    assert found[-1][0].units == units(outputs[-1][0])  # looked at at once from then on
