"""Levels and their laws: averages, and how far a batch's strays."""

import numpy as np
import pytest
from scipy import stats

from layerscope.engine.theory.population import MOST_LEVELS, Measured, NormalLevels, figures


def test_normal_levels_have_the_moments_of_their_law():
    law = NormalLevels(0.5, 2.0, 10, 3, edges=(0.0,))
    x = law.levels
    assert law.average(x) == pytest.approx(0.5)
    assert law.average(x * x, 0.5) == pytest.approx(0.5 * 4.25)  # the other units are at 0
    assert law.variance(x) == pytest.approx(4 / 30)
    assert law.first(1).variance(x) == pytest.approx(4 / 10)
    mean = 0.5 * stats.norm.cdf(0.25) + 2.0 * stats.norm.pdf(0.25)  # of what ReLU passes
    assert law.average(np.maximum(x, 0)) == pytest.approx(mean, abs=1e-3)


def test_every_sample_drawn_leaves_nothing_to_chance():
    values = np.random.default_rng(0).normal(size=(50, 3))
    for batch, left in ((50, 0.0), (25, 0.5)):
        law = Measured(values, batch, whole=True)
        own = values.mean(1).var(ddof=1) / batch
        assert law.variance(law.levels) == pytest.approx(left * own)


def test_a_batch_without_repetition_strays_as_it_says():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 2))
    law = Measured(values, 10, whole=True)
    means = [values[rng.permutation(40)[:10]].mean() for _ in range(4000)]
    assert law.variance(law.levels) == pytest.approx(np.var(means), rel=0.1)
    sums = [values[rng.permutation(40)[:10], 0].sum() ** 2 for _ in range(4000)]
    found = law.of_products((values[:, 0] ** 2).mean(), values[:, 0].mean())
    assert found == pytest.approx(np.mean(sums), rel=0.1)


def test_many_levels_are_gathered():
    values = np.random.default_rng(0).normal(size=(2000, 10))
    law = Measured(values, 8, whole=False)
    assert len(law.levels) == MOST_LEVELS + 1
    assert law.average(law.levels**2) == pytest.approx((values**2).mean(), rel=1e-3)


def test_few_levels_are_counted_by_sample():
    values = np.random.default_rng(0).integers(0, 3, size=(20, 30)).astype(float)
    law = Measured(values, 8, whole=False)
    np.testing.assert_allclose(law.of_samples(law.levels), values.mean(1))
    some = law.first(10)
    np.testing.assert_allclose(some.of_samples(some.levels), values[:, :10].mean(1))


def test_what_features_vary_within_a_sample_is_added():
    law = NormalLevels(0.0, 1.0, 10, 1, within=(3.0, 2.0))
    found = figures(law, law.levels, 1.0, 0.5)
    assert found.central == pytest.approx(1 + 1.5)
    assert found.wander == pytest.approx(2 / 10 + 0.25 * 2.0 / 10)
