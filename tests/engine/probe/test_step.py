"""A recorded step as bytes."""

from __future__ import annotations

import pytest

from layerscope.engine.probe.step import Outline, Quantity, Step
from layerscope.engine.statistics import Figures
from tests.trainings import mlp
from tests.watching import watched

pytestmark = pytest.mark.usefixtures("no_hook_is_left")


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
