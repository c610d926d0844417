"""How many tensors wait to be read together."""

from __future__ import annotations

import torch
from torch import nn

from layerscope.engine.probe import collecting
from layerscope.engine.probe.collecting import Batch, Collector
from layerscope.engine.probe.step import Quantity
from layerscope.engine.probe.watched import Key, Leaf
from layerscope.engine.statistics.many import Reader

LEAF = Leaf("a", nn.ReLU())


def keys(count):
    return [Key(LEAF, Quantity.ACTIVATION, place) for place in range(count)]


def collected(tensors, monkeypatch, *, most, most_bytes):
    monkeypatch.setattr(collecting, "BATCH", most)
    monkeypatch.setattr(collecting, "BATCH_BYTES", most_bytes)
    batches, elsewhere = [], []
    collector = Collector(batches.append, lambda *given: elsewhere.append(given))
    for key, tensor in zip(keys(len(tensors)), tensors, strict=True):
        collector.add(key, tensor)
    collector.flush()
    return [len(batch.keys) for batch in batches], elsewhere


def test_what_waits_is_bounded_by_its_number_and_by_its_bytes(monkeypatch):
    large, small = torch.ones(100), torch.ones(1)
    bounds = {"most": 4, "most_bytes": 1000}
    assert collected([small] * 9, monkeypatch, **bounds) == ([4, 4, 1], [])
    assert collected([large] * 7, monkeypatch, **bounds) == ([3, 3, 1], [])
    assert collected([large, large, small, large], monkeypatch, **bounds) == ([4], [])


def test_what_lies_on_an_accelerator_is_read_there_and_is_no_memory_here(monkeypatch):
    sizes, _ = collected([torch.ones(100, device="meta")] * 7, monkeypatch, most=4, most_bytes=1)
    assert sizes == [4, 3]


def test_what_was_changed_before_it_was_read_has_no_answer_and_is_dropped():
    batch, tensors = Batch(), [torch.ones(3), torch.ones(3)]
    both = keys(2)
    for key, tensor in zip(both, tensors, strict=True):
        batch.add(key, tensor)
    tensors[0].mul_(2.0)
    reading = batch.read(Reader())
    assert reading.keys == [None, both[1]]
    assert reading.dropped == [both[0]]
    unchanged = Batch()
    unchanged.add(both[1], tensors[1])
    assert unchanged.read(Reader()).dropped == ()
