"""Prices are measured, and whoever is told them uses them."""

from __future__ import annotations

import pytest

from layerscope.engine.execution import prices as module
from layerscope.engine.execution.prices import TYPICAL, Prices, measure, prices, use
from layerscope.engine.experiment.specification import DTYPES


@pytest.fixture(autouse=True)
def _as_before():
    before = prices()
    yield
    use(before)


@pytest.mark.slow
def test_every_format_has_a_price_of_at_least_float32s():
    found = measure()
    assert set(found.product) == set(found.entry) == set(DTYPES)
    assert found.product["float32"] == 1.0
    assert all(price >= 1 for price in (*found.product.values(), *found.entry.values()))
    assert found.layer > 0
    assert found.per_second > 0


def test_the_quickest_of_some_tries_counts(monkeypatch):
    took = iter([0.0, 9.0, 10.0, 12.0, 20.0, 25.0])
    monkeypatch.setattr(module.time, "thread_time", lambda: next(took))
    assert module._quickest(lambda: None) == 2.0


def test_those_told_are_used_until_others_are():
    assert prices() is TYPICAL or prices().per_second > 0
    other = Prices({}, {}, 1.0, 2.0)
    use(other)
    assert prices() is other


def test_quick_products_make_nothing_else_dearer(monkeypatch):
    """A limit in operations means time: a core with instructions for products alone has no other
    limits than a typical one."""
    monkeypatch.setattr(module, "_quickest", lambda _: 0.01)
    operation = 1 / TYPICAL.per_second

    def at(seconds: float) -> Prices:
        monkeypatch.setattr(module, "_product", lambda *_: seconds)
        return measure()

    typical, quick, slow = at(operation), at(operation / 50), at(operation * 2)
    assert quick == typical
    assert slow.layer == pytest.approx(typical.layer / 2)
    assert slow.per_second == pytest.approx(typical.per_second / 2)
