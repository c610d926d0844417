"""Presets: every one may be computed, and the small ones in about a minute."""

from __future__ import annotations

import pytest

from layerscope.engine.maps.limits import MapLimits
from layerscope.engine.maps.outcomes import OUTCOMES
from layerscope.engine.maps.presets import PRESETS, preset

SMALL_FLOPS = 7.2e12
"""Two minutes of one core at the prices of a usual one: a minute of two."""


@pytest.mark.parametrize("name", [each.name for each in PRESETS])
def test_every_preset_is_within_the_limits(name):
    found = preset(name)
    small = MapLimits().check(list(found.plane.samples()))
    assert small.flops < SMALL_FLOPS
    if found.full is not None:
        assert MapLimits().check(list(found.full.samples())).flops > small.flops
    assert found.title
    assert found.note.endswith(".")


def test_names_are_told_apart_and_unknown_ones_are_told():
    assert len({each.plane.id for each in PRESETS}) == len(PRESETS)
    assert {each.plane.outcome for each in PRESETS} < set(OUTCOMES)
    with pytest.raises(KeyError, match="expected one of: init-scale-depth"):
        preset("nothing")


def test_the_figures_show_what_the_papers_do():
    plane = preset("trainability").plane
    assert (plane.base.activation, round(plane.base.bias_std**2, 3)) == ("tanh", 0.05)
    assert [round(v * v, 3) for v in (plane.x.values[0], plane.x.values[-1])] == [1, 4]
    assert preset("learning-rate").plane.x.parameter == "learning_rate"
