"""A tensor's histograms over a stored run's steps."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.series import recorded
from layerscope.engine.probe.spread import OUTPUT, dtype_of, spreads, tensors_of
from layerscope.engine.store import Step, open_store
from tests.runs import facts, recorded_run, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A store with a training of five steps, whose fourth breaks a weight, and the run's id."""
    to = tmp_path_factory.mktemp("spread") / "runs.db"
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1)).to(torch.float64)
    trained(model, to, steps=5, breaks=(4, math.inf))
    store = open_store(to)
    yield store, store.runs()[0][0].id
    store.close()


@pytest.mark.parametrize(
    "tensor",
    [OUTPUT, "activation.grad", "weight", "weight.grad", "weight.update", "bias", "bias.grad"],
)
def test_they_are_bit_for_bit_what_was_recorded(run, tensor):
    store, name = run
    steps, known = store.steps(name), store.facts(name, ModuleFacts)
    found = spreads(tensor, steps, known)
    assert found.steps == [1, 2, 3, 4, 5]
    assert found.modules == ["0", "1", "2"]
    read = [recorded(step) for step in steps]
    for each, row in zip(known, found.values, strict=True):
        place = tensors_of(each).get(tensor)
        assert row == [step.of(each.index, *place) if place else None for step in read]
        assert any(s is not None for s in row) == (place is not None)
    dtypes = ["float64" if tensor in tensors_of(f) else None for f in known]
    assert found.dtypes == dtypes == [dtype_of(f, tensor) for f in known]


def test_every_entry_is_counted(run):
    store, name = run
    told = spreads("weight", store.steps(name), store.facts(name, ModuleFacts)[:1]).to_dict()
    (row,) = told["values"]
    for number, each in enumerate(row, 1):
        assert len(each["exponents"]) == len(each["positive"]) == len(each["negative"])
        beside = sum(each[k] for k in ("zeros", "nan", "posinf", "neginf"))
        assert sum(each["positive"]) + sum(each["negative"]) + beside == each["count"] == 24
        assert (each["posinf"] + each["nan"] > 0) == (number > 3)
    outputs = spreads(OUTPUT, store.steps(name), store.facts(name, ModuleFacts)[1:2]).to_dict()
    assert all(each["zeros"] for each in outputs["values"][0][:3])  # a ReLU's


def test_a_run_without_parameters_has_outputs(tmp_path):
    store = open_store(tmp_path / "runs.db")
    recorded_run(store, "plain", {}, [[1.0, None], [math.nan, 2.0]])
    found = spreads(OUTPUT, store.steps("plain"), facts(2))
    store.close()
    assert [[s and s.nan for s in row] for row in found.values] == [[0, 1], [None, 0]]
    assert list(tensors_of(facts(1)[0])) == [OUTPUT, "activation.grad", "input"]
    assert dtype_of(facts(1)[0], "weight") is None


@pytest.mark.parametrize("payload", [None, b"", b"not the probe's", b"\x01\x90"])
def test_what_somebody_else_wrote_is_no_histogram(payload):
    odd = Step(1, 1, 0.0, 2.0, False, payload)
    assert spreads(OUTPUT, [odd], facts(2)).values == [[None], [None]]
    assert spreads(OUTPUT, [], facts(2)).values == [[], []]
