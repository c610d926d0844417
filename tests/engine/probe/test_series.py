"""What a stored run says over its steps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import layerscope
from layerscope.engine.probe.glance import Glance
from layerscope.engine.probe.series import QUANTITIES, SERIES, histories, history, recorded
from layerscope.engine.store import Step, open_store
from tests.runs import trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A store with one training of six steps, and the run's id."""
    to = tmp_path_factory.mktemp("series") / "runs.db"
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1))
    trained(model, to, steps=6)
    store = open_store(to)
    yield store, store.runs()[0][0].id
    store.close()


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_row_a_module_and_a_value_a_step(run, quantity):
    store, name = run
    steps, facts = store.steps(name), store.facts(name)
    found = history(quantity, steps, facts)
    assert found.steps == [1, 2, 3, 4, 5, 6]
    if quantity in SERIES:
        read = [recorded(step) for step in steps]
        assert found.modules == ["0", "1", "2"]
        assert found.values == [[SERIES[quantity](s, f) for s in read] for f in facts]
    else:
        assert found.modules == [quantity]
    assert set(found.to_dict()) == {"quantity", "steps", "modules", "values"}


def test_several_are_read_from_each_step_once(run, monkeypatch):
    store, name = run
    steps, facts = store.steps(name), store.facts(name)
    each = [history(quantity, steps, facts) for quantity in QUANTITIES]
    decoded, decode = [], Glance.from_bytes.__func__
    counted = classmethod(lambda kind, data: decoded.append(data) or decode(kind, data))
    monkeypatch.setattr(Glance, "from_bytes", counted)
    assert histories(QUANTITIES, steps, facts) == each
    assert len(decoded) == len(steps)


def test_what_somebody_else_wrote_is_no_figure(run):
    store, name = run
    facts = store.facts(name)
    odd = Step(1, 1, 0.0, 2.0, False, b"not the probe's")
    assert history("std", [odd], facts).values == [[None]] * 3
    assert history("loss", [odd], facts).values == [[2.0]]
    assert history("std", [], facts).values == [[], [], []]


def test_another_quantity_is_refused_by_name():
    with pytest.raises(ValueError, match=r"expected one of loss, .*; got 'colour'"):
        history("colour", [], [])


def test_the_figures_of_a_weight_are_those_of_the_weight_wherever_it_is_declared(tmp_path):
    class BiasFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.full((4,), 9.0))
            self.weight = nn.Parameter(torch.randn(4, 3))

        def forward(self, x):
            return nn.functional.linear(x, self.weight, self.bias)

    model = nn.Sequential(BiasFirst(), nn.LayerNorm(4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with layerscope.watch(model, optimizer, to=tmp_path / "runs.db", every=1) as probe:
        before = model[0].weight.detach().clone()
        loss = model(torch.randn(8, 3)).square().sum()
        loss.backward()
        gradient = model[0].weight.grad.clone()
        optimizer.step()
        probe.step(loss)
    store = open_store(tmp_path / "runs.db")
    run = store.runs()[0][0].id
    steps, facts = store.steps(run), store.facts(run)
    store.close()
    change = model[0].weight.detach() - before
    for quantity, expected in (
        ("weight_std", before.std()),
        ("weight_gradient_norm", gradient.norm()),
        ("update_ratio", change.norm() / before.norm()),
    ):
        (value,), (norm,) = history(quantity, steps, facts).values
        assert value == pytest.approx(float(expected), rel=1e-5), quantity
        assert norm is not None
