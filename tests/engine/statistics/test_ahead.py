"""Statistics that another thread reads, beside those that are read at once."""

import gc
import math
import threading
import weakref

import pytest
import torch

from layerscope.engine.statistics import ahead, statistics, units
from layerscope.engine.statistics.ahead import AtOnce, Batch, Known, readable
from layerscope.engine.statistics.many import Reader

TENSORS = [
    torch.randn(7, 5), torch.randn(5), torch.zeros(3, 4), torch.tensor([math.nan, math.inf, -1.0]),
    torch.randn(6, 4).t(), torch.randn(3, dtype=torch.float64), torch.randn(4).bfloat16(),
    torch.randn(5, 2).half(), torch.empty(0),
]  # fmt: skip


@pytest.fixture(params=[True, False], ids=["another core", "one core"])
def _cores(request, monkeypatch):
    monkeypatch.setattr(ahead, "SEVERAL_CORES", request.param)


@pytest.mark.usefixtures("_cores")
def test_a_batch_says_what_each_tensor_says_by_itself():
    activations = [torch.randn(8, 3).relu(), torch.zeros(4, 2), torch.ones(1, 5)]
    batch = Batch(TENSORS, activations, Reader())
    assert batch.statistics() == [statistics(t) for t in TENSORS]
    assert batch.units() == [units(a) for a in activations]


@pytest.mark.usefixtures("_cores")
def test_a_batch_of_nothing():
    batch = Batch([], [], Reader())
    assert batch.statistics() == batch.units() == []


def test_two_batches_do_not_disturb_each_other():
    several = [[torch.randn(50, 40) * 2**n for n in range(k, k + 20)] for k in range(2)]
    batches = [Batch(tensors, tensors, Reader()) for tensors in several]
    for tensors, batch in zip(several, batches, strict=True):
        assert batch.statistics() == [statistics(t) for t in tensors]
        assert batch.units() == [units(t) for t in tensors]


def test_what_is_still_to_be_read_lives(monkeypatch):
    """Nobody but the batch has the tensors, and the batch is forgotten before it is read."""
    may_read, has_read = threading.Event(), threading.Event()
    read = Batch._read

    def late(self):
        may_read.wait(60)
        assert all(t() is not None for t in alive)
        found = read(self)
        has_read.set()
        return found

    monkeypatch.setattr(ahead, "SEVERAL_CORES", True)
    monkeypatch.setattr(Batch, "_read", late)
    tensors = [torch.randn(10, 10) for _ in range(3)]
    alive = [weakref.ref(t) for t in tensors]
    batch = Batch(tensors, [], Reader())
    del tensors, batch
    gc.collect()
    may_read.set()
    assert has_read.wait(60)


def test_what_is_known_is_not_read_again_until_it_is_forgotten():
    x, y, a = torch.randn(3), torch.randn(4), torch.randn(4, 2)
    known = Known()
    known.remember(Batch([x, y], [a], Reader()))
    assert known.has(x)
    assert not known.has(a)
    first, before = known.statistics(x), units(a)
    x.fill_(7)
    a.fill_(7)
    assert known.statistics(x) is first
    assert known.units(a, 1) == before
    known.forget_all_but(y)
    assert known.has(y)
    assert known.statistics(x) == AtOnce().statistics(x) != first
    assert known.units(a, 1) == AtOnce().units(a, 1) != before
    known.forget_all_but(None)
    assert not known.has(y)


def test_of_another_axis_than_the_first_units_are_read_anew():
    a = torch.randn(4, 2, 3)
    assert not readable(a)
    assert Known().units(a, 2) == units(a, 2)
