"""Costs: work at prices, in float32's operations, and what they are held to."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from layerscope.engine.diagnosis.fixes import fixes_cost
from layerscope.engine.diagnosis.run import result_cost, run_cost
from layerscope.engine.diagnosis.trial import trial_cost
from layerscope.engine.execution.cost import Cost, Limits, cost, passes_flops
from layerscope.engine.execution.layer_tensors import tensors_cost
from layerscope.engine.execution.prices import TYPICAL, Prices
from layerscope.engine.experiment.specification import DTYPES, Experiment

NOTHING = MappingProxyType(dict.fromkeys(DTYPES, 0.0))
EACH = MappingProxyType(dict.fromkeys(DTYPES, 1.0))


def only(*, product=NOTHING, entry=NOTHING, layer=0.0):
    return Prices(product, entry, layer, 1.0)


@pytest.mark.parametrize("depth", [1, 3, 4, 40])
def test_every_product_entry_and_layer_is_counted_at_any_depth(depth):
    e = Experiment(depth=depth, width=20, inputs=7, batch=10)
    weights = 7 * 20 + 20 * 20 * (depth - 1) + 20
    entries = 10 * (2 * 20 * depth + 1)
    assert passes_flops(e, only(product=EACH)) == 6 * 10 * weights
    assert passes_flops(e, only(entry=EACH)) == entries + weights
    assert passes_flops(e, only(layer=1.0)) == 2 * depth + 1


def test_a_narrow_format_costs_what_it_takes_longer():
    wide, narrow = (Experiment(width=512, dtype=d) for d in ("float32", "float16"))
    times = passes_flops(narrow, TYPICAL) / passes_flops(wide, TYPICAL)
    assert 10 < times <= TYPICAL.product["float16"]


def test_costs_are_added_one_after_the_other_or_beside_each_other():
    one, other = Cost(3, 10), Cost(4, 20)
    assert one.then(other) == Cost(7, 20)
    assert one.beside(other) == Cost(7, 30)
    assert Limits(7, 20).allow(one.then(other))
    assert not Limits(7, 20).allow(one.beside(other))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_whole_result_costs_the_sum_of_its_parts_and_the_memory_of_the_largest(dtype):
    e = Experiment(depth=5, width=30, dtype=dtype, norm="layer")
    bare, whole = result_cost(e, check=False), result_cost(e)
    assert cost(e).flops <= run_cost(e).flops < bare.flops < whole.flops
    assert bare.flops == run_cost(e).flops + trial_cost(e).flops + fixes_cost(e).flops
    assert whole.bytes >= max(bare.bytes, cost(e).bytes)


def test_fixes_are_priced_as_this_machine_is(monkeypatch):
    e = Experiment(depth=5, width=30)
    monkeypatch.setattr("layerscope.engine.execution.prices._used", TYPICAL)
    at_typical = fixes_cost(e)
    dearer = replace(
        TYPICAL,
        product={name: 2 * each for name, each in TYPICAL.product.items()},
        entry={name: 2 * each for name, each in TYPICAL.entry.items()},
        layer=2 * TYPICAL.layer,
    )
    monkeypatch.setattr("layerscope.engine.execution.prices._used", dearer)
    assert 1.8 * at_typical.flops < fixes_cost(e).flops <= 2 * at_typical.flops
    assert fixes_cost(e).bytes == at_typical.bytes


def test_a_layers_pictures_cost_more_memory_than_the_passes():
    e = Experiment(depth=1, width=500, inputs=1, batch=5000)
    assert tensors_cost(e).bytes > cost(e).bytes
