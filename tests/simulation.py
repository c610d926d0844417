"""Theory held against simulation: second moments over seeds, at every layer."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import pytest

from layerscope.engine.diagnosis.run import result
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.theory.experiments import predict_experiment

SEEDS = 40


def mean_square(layers, place, name):
    """Over seeds: their mean, and its standard error."""
    squares = [each[place][name]["rms"] ** 2 for each in layers]
    return fmean(squares), stdev(squares) / math.sqrt(len(squares))


def assert_theory_is_simulated(change):
    """Of every layer's output and of the gradient by it, of a network with this change."""
    setting = {"depth": 4, "width": 200, "batch": 16, "activation": "tanh",
               "init": "lecun_normal", **change}  # fmt: skip
    prediction = predict_experiment(Experiment(**setting))
    assert prediction.available
    seen = [
        result(Experiment(seed=s, **setting), check=False, fixes=False)["layers"]
        for s in range(SEEDS)
    ]
    for place, told in enumerate(prediction.layers):
        for name in ("activation", "gradient"):
            spread = getattr(told, name)
            if spread is None:  # batch norm: none is derived
                assert prediction.gradient_reason
                continue
            want = spread.to_dict()["rms"] ** 2
            found, error = mean_square(seen, place, name)
            assert found == pytest.approx(want, abs=4 * error + 0.02 * want), (told.name, name)
