"""A step of which little is asked, beside the whole one."""

from __future__ import annotations

import math

import msgspec
import pytest
import torch
from torch import nn

from layerscope.engine.probe.glance import Glance
from layerscope.engine.probe.series import SERIES, column
from layerscope.engine.probe.step import Outline, Quantity
from tests.runs import trained


@pytest.fixture(scope="module")
def steps():
    """Of a training that breaks, with the facts of its modules."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 1))
    probe = trained(model, ":memory:", steps=6, breaks=(5, math.nan))
    return probe.steps(), probe.facts()


def test_it_says_what_the_whole_says(steps):
    for step in steps[0]:
        data = step.to_bytes()
        glance, outline = Glance.from_bytes(data), Outline.from_bytes(data)
        assert glance.nonfinite == outline.nonfinite
        assert glance.said == outline.said
        assert glance.learning_rates == outline.learning_rates
        for slot, figures in zip(outline.slots, outline.statistics, strict=True):
            assert glance.of(slot.module, slot.quantity, slot.parameter) == figures
        assert glance.of(9, Quantity.ACTIVATION) is None
        assert glance.update_ratio(0) == outline.update_ratio(0)
        for quantity in SERIES:
            assert column(quantity, glance, steps[1]) == column(quantity, outline, steps[1])
    assert any(any(Glance.from_bytes(s.to_bytes()).nonfinite.values()) for s in steps[0])


@pytest.mark.parametrize("broken", ["slots", "statistics", "modules"])
def test_a_part_that_is_something_else_tells_nothing(steps, broken):
    odd = msgspec.Raw(msgspec.msgpack.encode("odd"))
    glance = Glance.from_bytes(steps[0][0].to_bytes())
    whole = [odd] * len(glance.statistics) if broken == "statistics" else odd
    found = Glance.from_bytes(msgspec.structs.replace(glance, **{broken: whole}).to_bytes())
    assert (found.of(0, Quantity.ACTIVATION) is None) == (broken != "modules")
    assert (found.nonfinite == {}) == (broken != "modules")
    assert (found.said == {}) == (broken == "modules")


def test_tensors_without_figures_of_their_own_tell_nothing(steps):
    glance = Glance.from_bytes(steps[0][0].to_bytes())
    fewer = msgspec.structs.replace(glance, statistics=glance.statistics[:-1])
    assert Glance.from_bytes(fewer.to_bytes()).of(0, Quantity.ACTIVATION) is None
