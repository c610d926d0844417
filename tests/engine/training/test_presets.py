"""What the presets say of themselves is what happens in them."""

from __future__ import annotations

import math
from functools import cache

from layerscope.engine.training import Trainer
from layerscope.engine.training.presets import TRAINING_PRESETS

PRESETS = {preset.name: preset for preset in TRAINING_PRESETS}


@cache
def trained(name, steps=40):
    """The losses, and the last step, recorded."""
    preset = PRESETS[name]
    trainer = Trainer(preset.experiment, preset.training)
    losses = []
    for _ in range(steps):
        done = trainer.advance()
        losses.append(done.loss)
        if not math.isfinite(done.loss):
            break
    return losses, trainer.advance(record=True)


def test_the_healthy_one_and_the_repaired_ones_learn():
    for name in ("healthy", "leaky", "xavier", "batch_norm"):
        losses, done = trained(name)
        assert min(losses[-5:]) < 0.8 * done.baseline, name


def test_a_rate_too_high_ends_in_nan():
    assert not math.isfinite(trained("rate_high")[0][-1])


def test_dying_units_are_all_dead_and_nothing_comes_back():
    losses, done = trained("dying_relu")
    units = [r.units for r in done.records if r.facts.role == "activation"]
    assert any(u.dead == u.width for u in units)
    assert done.gradients["linear1.weight"].zeros == done.gradients["linear1.weight"].count
    assert min(losses[-5:]) > 0.95 * done.baseline


def test_the_deep_one_does_not_learn():
    losses, done = trained("deep")
    assert min(losses[-5:]) > 0.95 * done.baseline


def test_the_saturated_one_is_behind_its_repair():
    assert trained("saturated")[0][-1] > 4 * trained("xavier")[0][-1]


def test_float16_loses_gradients_that_the_scale_holds():
    def lost(name):
        preset = PRESETS[name]
        done = Trainer(preset.experiment, preset.training).advance(record=True)
        first = done.gradients["linear1.weight"]
        return first.zeros / first.count

    assert lost("half") > 3 * lost("half_scaled")
    assert lost("half") > 0.5
