"""Records, findings and statistics go to bytes, to JSON and back exactly, whatever they hold."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from layerscope.engine.diagnosis import Finding, diagnose
from layerscope.engine.diagnosis.gathering import gather
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.recording import record_all
from layerscope.engine.execution.records import Facts, Record
from layerscope.engine.execution.saturation import derivative_by_autograd, flat_region
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import ACTIVATIONS
from layerscope.engine.statistics import Statistics, statistics

EXTREME = [0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, -1.7e308, 1e-40, 3.4e38, 1.0]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    entry = st.sampled_from(EXTREME) | st.floats(width=64)
    values = draw(st.lists(entry, max_size=40))
    return torch.tensor(values, dtype=torch.float64).to(draw(st.sampled_from(DTYPES)))


def through_json(value):
    return json.loads(json.dumps(value.to_dict(), allow_nan=False))


@pytest.mark.slow
@given(tensors())
@settings(max_examples=200, deadline=None)
def test_statistics_come_back(tensor):
    s = statistics(tensor)
    assert Statistics.from_bytes(s.to_bytes()) == s
    assert Statistics.from_dict(through_json(s)) == s
    assert Statistics.from_bytes(s.to_bytes()).histogram.positive.dtype == "int64"


def test_a_wide_histogram_takes_little_room():
    wide = statistics(torch.tensor([5e-324, 1e308], dtype=torch.float64))
    assert len(wide.histogram.positive) > 2000
    assert len(wide.to_bytes()) < 120
    assert Statistics.from_bytes(wide.to_bytes()) == wide


@pytest.mark.parametrize(
    "experiment",
    [
        Experiment(depth=4, norm="layer", residual=True, activation="tanh"),
        Experiment(depth=40, activation="linear", init="normal", width=30),
        Experiment(depth=2, dtype="bfloat16", data="digits"),
        Experiment(depth=2, init="zeros", batch=1, width=1),
    ],
    ids=lambda e: str(e.to_query()),
)
def test_records_and_findings_come_back(experiment):
    evidence = gather(experiment)
    for record in evidence.records:
        assert Record.from_bytes(record.to_bytes()) == record
        assert Record.from_dict(through_json(record)) == record
    for finding in diagnose(evidence):
        assert Finding.from_bytes(finding.to_bytes()) == finding
        assert Finding.from_dict(through_json(finding)) == finding


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_other_bytes_are_refused_in_words(data):
    with pytest.raises(ValueError, match="Record: "):
        Record.from_bytes(data)


def test_another_version_is_named():
    data = record_all(Network(Experiment(depth=1)))[0][0].to_bytes()
    with pytest.raises(ValueError, match="Record: expected version 1, got 9"):
        Record.from_bytes(b"\x09" + data[1:])
    with pytest.raises(ValueError, match="Record: 'facts'"):
        Record.from_dict({})


@pytest.mark.parametrize("name", [n for n, a in ACTIVATIONS.items() if a.torch_modules])
def test_autograd_finds_the_same_flat_region(name):
    activation = ACTIVATIONS[name]
    own = flat_region(activation.derivative)
    assert flat_region(derivative_by_autograd(activation.reference)).by_nature == own.by_nature


def test_an_unknown_dtype_is_named():
    with pytest.raises(ValueError, match="expected the name of a torch dtype, got 'float31'"):
        _ = Facts(0, "a", "A", None, (1, 1), "float31").torch_dtype
