"""What a loss sends to units by their level, against draws."""

import numpy as np
import pytest
import torch

from layerscope.engine.layers.losses import LOSSES
from layerscope.engine.theory.population import Measured, NormalLevels
from layerscope.engine.theory.sent import Side, of_measured, of_normal

BATCH = 16


@pytest.mark.parametrize("name", ["mse", "mae", "huber"])
def test_normal_targets(name):
    law, loss = NormalLevels(0.3, 1.2, BATCH, 1), LOSSES[name]
    d = np.cos(law.levels)
    found = of_normal(loss, law, np.tanh(law.levels), (0.2, 0.8)).figures(d, 0.5)
    scale = np.exp(of_normal(loss, law, np.tanh(law.levels), (0.2, 0.8)).log_scale)
    rng = np.random.default_rng(0)
    x = 0.3 + 1.2 * rng.normal(size=(20_000, BATCH))
    o, t = (
        torch.from_numpy(a.ravel()[:, None])
        for a in (np.tanh(x), 0.2 + 0.8 * rng.normal(size=x.shape))
    )
    y = loss.gradient(o, t).numpy().reshape(x.shape) * x.size * np.cos(x) / scale
    means = y.mean(1) / 2  # every other unit gets none
    central = (y**2).mean(1) / 2 - means**2
    assert found.mean == pytest.approx(y.mean() / 2, abs=0.005)
    assert found.central == pytest.approx((y**2).mean() / 2 - y.mean() ** 2 / 4, rel=0.02)
    assert found.taken == pytest.approx(means.var(), rel=0.03)
    assert found.wander == pytest.approx(central.var(), rel=0.1)


def test_the_weight_of_a_diagonal():
    """Of 5 units, 3 with a level: what Σ over the batch of x·g has, squared, over draws."""
    law, loss = NormalLevels(0.5, 1.0, BATCH, 3), LOSSES["mse"]
    sent = of_normal(loss, law, law.levels, (0.0, 1.0))
    into = Side(law.levels + 0.4, 5, 3)
    rng = np.random.default_rng(0)
    x = 0.5 + rng.normal(size=(40_000, BATCH, 3))
    g = 2 * (x[:, :, 0] - rng.normal(size=x.shape[:2])) / np.exp(sent.log_scale)
    h = np.concatenate([x, np.zeros((*x.shape[:2], 2))], axis=2) + 0.4
    sums = np.einsum("sbi,sb->si", h, g) ** 2
    assert sent.weight(into, None, 1, diagonal=True) == pytest.approx(sums.mean(), rel=0.02)


def test_classes_of_samples_one_by_one():
    values = np.random.default_rng(0).normal(size=(30, 4))
    law, label = Measured(values, 30, whole=True), torch.arange(30) % 3
    sent = of_measured(LOSSES["cross_entropy"], law, law.levels, label, 3, copies=False, x=values)
    p = torch.softmax(torch.from_numpy(values[:, :3]), 1) - torch.eye(3, dtype=torch.float64)[label]
    p = p.numpy() / np.exp(sent.log_scale)
    assert sent.outset().central == pytest.approx(p.var())
    assert sent.outset().wander == 0  # a batch of all of them
    found = sent.weight(Side(law.levels, 4, 4), None, 3, diagonal=True)
    assert found == pytest.approx(((values.T @ p) ** 2).mean())
