"""Random specifications over all parameters: each has a result, and it is JSON.

``LAYERSCOPE_SWEEP=5000`` draws as many (``make sweep``); the seed of one that fails stands in the
test's name.
"""

from __future__ import annotations

import json
import os
import pickle
import random

import pytest

from layerscope.engine.diagnosis.run import Summary, run
from layerscope.engine.experiment.data import DATASETS
from layerscope.engine.experiment.specification import MAX_SEED, Experiment
from layerscope.engine.layers import ACTIVATIONS
from layerscope.engine.layers.losses import LOSSES

COUNT = int(os.environ.get("LAYERSCOPE_SWEEP", "300"))
AT_ONCE = 50
LARGEST = 2_000_000  # weights and entries of a network: small ones are odd enough


def edge(chosen, low, high):
    """A whole number, one in three at an end, mostly small."""
    return chosen.choice([low, low + 1, round(low * (high / low) ** chosen.random())])


def scale(chosen, most):
    """A number ≥ 0 over all magnitudes, ends and ordinary values among them."""
    return chosen.choice(
        [0.0, 1.0, most, 10 ** chosen.uniform(-30, 2), 10 ** chosen.uniform(-2, 2)]
    )


def specification(seed):
    """The same for the same seed."""
    chosen = random.Random(seed)
    while True:
        data = chosen.choice(list(DATASETS))
        classes = DATASETS[data].classes is not None
        most = DATASETS[data].samples or 300
        depth, width = edge(chosen, 1, 300), edge(chosen, 1, 80)
        batch = min(most, edge(chosen, 1, 300))
        if depth * width * (width + batch) <= LARGEST:
            break
    options = {
        n: chosen.choice(list(Experiment.options(n)))
        for n in ("activation", "init", "norm", "dtype")
    }
    own = DATASETS[data].features
    return Experiment(
        depth=depth, width=width, batch=batch, data=data, seed=chosen.randrange(MAX_SEED),
        inputs=None if own else chosen.choice([None, edge(chosen, 1, 100)]),
        loss=chosen.choice([n for n, loss in LOSSES.items() if classes or not loss.classifies]),
        init_scale=min(100.0, scale(chosen, 100.0)), bias_std=min(100.0, scale(chosen, 100.0)),
        residual=chosen.random() < 0.3, **options, **rare(chosen, options["activation"]),
    )  # fmt: skip


def rare(chosen, activation):
    """One in three, some of what is seldom asked for."""
    if chosen.random() > 1 / 3:
        return {}
    alpha = {} if ACTIVATIONS[activation].parameter is None else {"alpha": scale(chosen, 100.0)}
    drawn = {
        **alpha,
        "input_scale": min(1000.0, scale(chosen, 1000.0)),
        "input_mean": chosen.choice([-1, 1]) * min(1000.0, scale(chosen, 1000.0)) or 0.0,
        "bias_mean": chosen.choice([-1, 1]) * min(100.0, scale(chosen, 100.0)) or 0.0,
        "output_scale": min(100.0, scale(chosen, 100.0)),
        "norm_gain": min(100.0, scale(chosen, 100.0)),
        "branch_scale": min(100.0, scale(chosen, 100.0)),
        "backward_scale": min(1e9, max(1e-6, scale(chosen, 1e9))),
        "layer_gains": ",".join(repr(min(100.0, scale(chosen, 100.0))) for _ in range(2)),
        "block_order": chosen.choice(list(Experiment.options("block_order"))),
        "fan": chosen.choice(list(Experiment.options("fan"))),
        "reduction": chosen.choice(list(Experiment.options("reduction"))),
    }
    return {name: drawn[name] for name in chosen.sample(list(drawn), chosen.randint(1, 3))}


@pytest.mark.slow
@pytest.mark.no_cover  # slower under a tracer, to which single cases tell the same lines
@pytest.mark.parametrize("first", range(0, COUNT, AT_ONCE))
def test_every_specification_has_a_result(first):
    for seed in range(first, min(COUNT, first + AT_ONCE)):
        experiment = specification(seed)
        where = f"seed {seed}: {experiment.to_query()}"
        try:
            summary = None
            for event in run(experiment, fixes=False):
                json.dumps(event.to_dict(), allow_nan=False)
                pickle.dumps(event)  # as a worker sends it
                if isinstance(event, Summary):
                    summary = event
        except Exception as error:
            raise AssertionError(where) from error
        assert summary is not None, where
        assert summary.verdict.title, where
        text = summary.verdict.text
        assert not text or text.endswith((".", "?")), where
