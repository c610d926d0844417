from __future__ import annotations

import math
from functools import reduce

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscope.engine.statistics import Statistics, many, statistics
from layerscope.engine.statistics.many import Answers, Reader, plain
from layerscope.engine.statistics.packing import FIGURES

READER = Reader()


def together(answers, groups, shifts=None):
    order = np.array([i for group in groups for i in group], np.int64)
    starts = np.cumsum([0, *map(len, groups)])
    return Answers.packed(answers, order, starts, np.array(shifts or [0] * len(groups), np.int64))


def packed(tensors, groups=None, shifts=None):
    """Statistics by way of their bytes."""
    groups = groups or [[i] for i in range(len(tensors))]
    data, figures = together([READER.read(tensors)], groups, shifts)
    head = b"\xdc" + len(groups).to_bytes(2, "big")
    read = msgspec.msgpack.Decoder(list[Statistics], dec_hook=hook()).decode(head + data)
    return read, figures, data


def hook():
    from layerscope.engine.basis import serial

    return serial._unpacked


def tensors():
    torch.manual_seed(0)
    some = [torch.randn(20, 10) * 10.0**e for e in range(-40, 30, 7)]
    odd = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-40, 1.0]
    return [
        *some, *(torch.tensor([x]) for x in odd), torch.tensor(odd), torch.zeros(0),
        torch.zeros(5, 5), torch.randn(9).double() * 1e-200, torch.randn(9).double() * 1e300,
        torch.randn(3, 5).half(), torch.randn(3, 5).bfloat16() * 1e-39, torch.randn(6, 7).t(),
        torch.ones(1).expand(4, 4), torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        torch.randn(8)[::2], torch.full((3,), 2.5),
    ]  # fmt: skip


def test_the_bytes_are_those_that_statistics_writes():
    for tensor in tensors():
        ours, _, data = packed([tensor])
        assert ours == [statistics(tensor)]
        assert data == ours[0].to_bytes()[1:]


def test_one_call_says_the_same_of_all():
    ours, figures, _ = packed(tensors())
    assert ours == [statistics(t) for t in tensors()]
    for each, row in zip(ours, figures, strict=True):
        for name, value in zip(FIGURES, row, strict=True):
            said = getattr(each, name)
            assert math.isnan(value) if said is None else value == said


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_taken_together_as_merge_does(seed):
    torch.manual_seed(seed)
    parts = [torch.randn(7) * 10.0 ** float(torch.randn(1)) for _ in range(6)]
    parts += [torch.tensor([math.nan, 1.0, math.inf]), torch.zeros(3), torch.randn(4).double()]
    (ours,), _, _ = packed(parts, [list(range(9))])
    whole = statistics(torch.cat([p.double() for p in parts]))
    for name in ("count", "finite", "zeros", "nan", "posinf", "neginf", "min", "max", "histogram"):
        assert getattr(ours, name) == getattr(whole, name), name
    for name in ("mean", "std", "rms"):
        assert getattr(ours, name) == pytest.approx(getattr(whole, name), rel=1e-12)
    merged = reduce(Statistics.merge, map(statistics, parts))
    assert ours.histogram == merged.histogram


def test_what_has_nothing_finite_can_be_taken_together_too():
    nan, none = torch.tensor([math.nan]), torch.zeros(0)
    (ours, empty), _, _ = packed([nan, none, none], [[0, 1], [1, 2]])
    assert (ours.count, ours.nan, ours.mean, ours.histogram.positive.size) == (1, 1, None, 0)
    assert (empty.count, empty.mean) == (0, None)


@given(st.integers(-20, 20))
@settings(max_examples=20, deadline=None)
def test_a_shift_divides_by_a_power_of_two(shift):
    x = torch.tensor([0.0, 1.5, -3.0, 100.0, math.nan])
    (ours,), figures, _ = packed([x], shifts=[shift])
    expected = statistics((x.double() / 2.0**shift).double())
    assert ours == expected
    assert figures[0, FIGURES.index("rms")] == expected.rms


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_snapshot_follows_and_its_change_is_measured(dtype):
    old, new = torch.randn(50, dtype=dtype), torch.randn(50, dtype=dtype)
    before, snapshot = old.clone(), old.clone()
    change = READER.read([new], [snapshot], subtracts=True)
    data, _ = together([change], [[0]])
    assert data == statistics(new - before).to_bytes()[1:]
    assert torch.equal(snapshot, new)
    READER.read([before], [snapshot])
    assert torch.equal(snapshot, before)


@pytest.mark.parametrize(
    "snapshot", [torch.zeros(4), torch.zeros(9), torch.zeros(5).double(), torch.zeros(10)[::2]]
)
def test_a_snapshot_that_does_not_fit_is_refused_and_nothing_written(snapshot):
    before = snapshot.clone()
    with pytest.raises(ValueError, match=r"snapshot 0: expected 5 numbers of torch\.float32"):
        READER.read([torch.ones(5)], [snapshot])
    assert torch.equal(snapshot, before)


def test_answers_of_several_calls_are_counted_through():
    a, b = torch.randn(5), torch.randn(6)
    answers = [READER.read([a]), READER.read([b, a])]
    data, _ = together(answers, [[1], [0, 2]])
    first = statistics(b).to_bytes()[1:]
    assert data[: len(first)] == first
    assert together([], [])[0] == b""


def test_what_cannot_be_read_in_place_is_made_plain():
    z = torch.tensor([1 + 2j, 3 - 4j])
    assert plain(z).flatten().tolist() == [1, 2, 3, -4]
    assert plain(torch.eye(2)[None].expand(2, 2, 2)).shape == (2, 2, 2)
    assert plain(z.conj().imag).tolist() == [-2, 4]
    sparse = torch.sparse_coo_tensor([[0, 0, 2]], [1.0, 2.0, 5.0], (9,), check_invariants=True)
    assert plain(sparse).tolist() == [3.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    huge = torch.sparse_coo_tensor([[0, 0, 2]], [1.0, 2.0, 5.0], (2**40,), check_invariants=True)
    assert plain(huge).tolist() == [3.0, 5.0]
    with pytest.raises(TypeError, match=r"got dtype torch\.int64"):
        plain(torch.tensor([1]))


@pytest.mark.parametrize("subtracts", [False, True])
def test_ordinary_tensors_are_asked_all_at_once_and_the_answer_is_the_same(subtracts):
    tensors = [torch.randn(n, 3) for n in range(1, 6)]
    rooms = [torch.randn(t.numel()) if n % 2 else None for n, t in enumerate(tensors)]
    copies = [None if room is None else room.clone() for room in rooms]
    table = many.ordinary_table(tensors, rooms, subtracts)
    one_by_one, copied = many.table_of(tensors, rooms, subtracts)
    assert np.array_equal(table, one_by_one)
    assert copied == []
    quick = Reader().read(tensors, rooms, subtracts)
    double = torch.ones(2, dtype=torch.float64)  # with it each is asked by itself
    slow = Reader().read([*tensors, double], [*copies, None], subtracts)
    groups = [[place] for place in range(len(tensors))]
    assert together([quick], groups)[0] == together([slow], groups)[0]
    for room, copy in zip(rooms, copies, strict=True):
        assert room is copy is None or torch.equal(room, copy)


@pytest.mark.parametrize(
    "other",
    [
        torch.ones(2, dtype=torch.float64),
        torch.ones(2, dtype=torch.bfloat16),
        torch.ones(2, 3).T,
        torch.ones(1).expand(3),
        torch.eye(2).to_sparse(),
        torch.ones(2, dtype=torch.complex64),
        torch.ones(2, dtype=torch.complex64).conj().imag,
    ],
)
def test_a_tensor_that_is_read_otherwise_is_asked_by_itself(other):
    assert many.ordinary_table([torch.ones(3), other], None, subtracts=False) is None
    assert many.ordinary_table([torch.ones(2)], [other], subtracts=False) is None
