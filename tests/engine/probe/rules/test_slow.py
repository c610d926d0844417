"""Adam's epsilon and clipping, where they make steps small, and where they do not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from layerscope.engine.probe.watch import watch
from tests.faults import accused, data, mlp, train


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def told(findings, rule):
    return next((f for f in findings if f.rule == rule), None)


def by_adam(kind=torch.optim.Adam, steps=150, **settings):
    model = mlp(3)
    optimizer = kind(model.parameters(), 0.003, **settings)
    return train(model, *data("classes"), F.cross_entropy, optimizer=optimizer, steps=steps)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop])
def test_an_epsilon_above_the_gradients_is_told(kind):
    found = told(by_adam(kind, eps=1.0), "adam_settings")
    assert found is not None
    assert kind.__name__ in found.title
    assert found.evidence["eps"] == 1.0
    assert 1 / found.evidence["gradient"] > found.threshold["times_gradient"]
    assert "1e-8" in found.fix["code"]


def test_the_usual_epsilon_is_none_and_so_is_a_large_one_that_learns():
    assert told(by_adam(), "adam_settings") is None
    assert told(by_adam(eps=1e-3), "adam_settings") is None
    assert told(by_adam(eps=1.0, steps=40), "adam_settings") is None  # not long enough to know


def clipped(kind, most, rate=0.05, steps=150):
    model, loss = mlp(3), F.cross_entropy
    x, y = data("classes")
    optimizer = kind(model.parameters(), rate)
    with watch(model, optimizer, loss=loss, every=1, to=":memory:") as probe:
        for _ in range(steps):
            optimizer.zero_grad()
            value = probe.loss(model(x), y)
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), most)
            optimizer.step()
            probe.step(value)
    return probe.findings()


def test_clipping_that_leaves_next_to_nothing_is_told():
    found = told(clipped(torch.optim.SGD, 1e-3), "gradient_clipping")
    assert found is not None
    assert found.evidence["left"] < 0.05
    assert found.direction == "backward"


@pytest.mark.parametrize(
    ("kind", "most", "rate"),
    [(torch.optim.SGD, 1.0, 0.5), (torch.optim.Adam, 1e-3, 0.003), (torch.optim.SGD, 1e-2, 50.0)],
)
def test_clipping_that_leaves_enough_or_is_made_up_for_is_not(kind, most, rate):
    assert "gradient_clipping" not in accused(clipped(kind, most, rate))
