"""What an accelerator would answer, by the same operators on the CPU, against the kernel."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
import torch

from layerscope.engine.basis import serial
from layerscope.engine.statistics import Statistics, device, statistics, units
from layerscope.engine.statistics.many import Answers

nan, inf = math.nan, math.inf
G = torch.Generator().manual_seed(0)


def rand(*shape):
    return torch.randn(*shape, generator=G)


def read(tensors):
    found, rows = device.records(tensors)
    answers = device.answers(found.numpy(), rows, [t.dtype for t in tensors])
    n = len(tensors)
    data, _ = Answers.packed([answers], np.arange(n), np.arange(n + 1), np.zeros(n, np.int64))
    decoder = msgspec.msgpack.Decoder(list[Statistics], dec_hook=serial._unpacked)
    return decoder.decode(b"\xdd" + n.to_bytes(4, "big") + data)


TENSORS = {
    "a matrix": rand(20, 30), "of its size": rand(30, 20) + 100, "long": rand(50, 61),
    "tiny": rand(4, 5) * 1e-30, "subnormal": torch.tensor([1e-41, -1e-45, 2.0]),
    "not finite": torch.tensor([nan, inf, -inf, 1.0, 0.0, -0.0]), "only NaN": torch.full((3,), nan),
    "zeros": torch.zeros(5), "one": torch.tensor(3.0), "none": torch.zeros(0),
    "bfloat16": rand(7).bfloat16(), "half": (rand(9) * 1e-6).half(), "transposed": rand(6, 5).t(),
    "large": torch.tensor([3e38, 2e38, 1.0]), "a constant": torch.full((7,), 0.1),
}  # fmt: skip


@pytest.mark.parametrize("piece", [100, 1 << 22])
def test_all_at_once_as_one_by_one(monkeypatch, piece):
    monkeypatch.setattr(device, "PIECE", piece)
    for name, found in zip(TENSORS, read(list(TENSORS.values())), strict=True):
        expected = statistics(TENSORS[name])
        assert found.histogram == expected.histogram, name
        for field in Statistics.__struct_fields__[:-1]:
            a, b = getattr(found, field), getattr(expected, field)
            assert a == b or a == pytest.approx(b, rel=1e-9, abs=1e-12), (name, field)


@pytest.mark.parametrize(
    "x",
    [
        rand(8, 5), rand(8, 5).relu(), rand(6, 4, 3, 3).relu(), torch.zeros(4, 3), rand(1, 4),
        torch.tensor([[1.0, nan], [2.0, 0.0], [4.0, 0.0]]), torch.ones(5, 2), rand(5, 3) * 1e30,
    ],
)  # fmt: skip
def test_units(x):
    expected = units(x)
    (dead, constant, correlation), silent = device.units_there(x, 1)
    assert (dead, constant) == (expected.dead, expected.constant)
    assert int(silent.sum()) == expected.dead
    if expected.sample_correlation is None:
        assert math.isnan(correlation)
    else:
        assert float(correlation) == pytest.approx(expected.sample_correlation, abs=1e-6)
