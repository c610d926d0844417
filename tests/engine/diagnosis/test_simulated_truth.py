"""The truth that the diagnosis is held against: PyTorch's optimisers, and what float64 knows."""

import math

import pytest
import torch

from layerscope.engine.experiment.specification import Experiment
from tools.make_corpus import judge
from tools.simulated_truth import (
    Descent,
    Trainable,
    format_agreement,
    known_gradients,
    shares_reached,
)

SMALL = Experiment(depth=3, width=16, batch=24, activation="tanh", seed=3)
FAR_ABOVE = Experiment(
    depth=1, width=64, batch=48, activation="sigmoid", init="normal", init_scale=100,
    data="digits", loss="cross_entropy", seed=832,
)  # fmt: skip
ALL_ALIKE = Experiment(
    depth=5, width=48, batch=96, activation="sigmoid", init="constant", init_scale=0.212,
    norm="layer", bias_std=0.1, seed=443,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["none", "layer", "rms", "batch"])
def test_side_by_side_is_as_one_after_the_other_by_pytorchs_own_optimisers(norm):
    experiment = SMALL.model_copy(update={"norm": norm, "residual": True, "dtype": "float64"})
    descents = [Descent("adam", 1e-3), Descent("adam", 1e-2), Descent("sgd", 0.03)]
    for descent, share in zip(descents, shares_reached(experiment, descents), strict=True):
        model = Trainable(experiment, torch.float64)
        one = torch.optim.Adam([model.flat], descent.rate)
        if descent.optimiser == "sgd":
            one = torch.optim.SGD([model.flat], descent.rate, momentum=0.9)
        losses = []
        for _ in range(300):
            one.zero_grad()
            (loss,) = model()
            losses.append(float(loss.detach()))
            loss.backward()
            one.step()
        assert share == pytest.approx(max(losses[-5:]) / model.constant_loss(), rel=1e-4)


def test_what_breaks_is_infinite_and_disturbs_no_other():
    alone = shares_reached(SMALL, [Descent("adam", 1e-3)])
    beside = shares_reached(SMALL, [Descent("adam", 1e-3), Descent("sgd", 1e9)])
    assert beside[1] == math.inf
    assert beside[0] == pytest.approx(alone[0], rel=0.01)


def test_a_loss_that_still_falls_is_not_given_up():
    assert shares_reached(FAR_ABOVE, [Descent("sgd", 1.0)])[0] < 0.6
    assert judge(FAR_ABOVE)["healthy"] is None


def test_a_gradient_that_is_rounding_alone_is_not_known_and_no_format_fails_by_it():
    known = known_gradients(ALL_ALIKE)
    assert known[max(known)] is not None
    assert known[0] is None
    assert format_agreement(ALL_ALIKE) > 0.99
    assert all(gradient is not None for gradient in known_gradients(SMALL).values())


def test_a_format_that_loses_a_gradient_fails_by_it():
    lost = Experiment(depth=30, width=32, batch=32, activation="sigmoid", dtype="float16")
    assert all(gradient is not None for gradient in known_gradients(lost).values())
    assert format_agreement(lost) < 0.7
