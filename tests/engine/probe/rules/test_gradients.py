"""Gradients that are not zeroed, parameters that nobody moves, and copies of one another."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from layerscope.engine.probe.watch import watch
from tests.faults import STEPS, accused, data, mlp, train


def test_gradients_that_are_never_zeroed_are_seen_between_records_too():
    torch.manual_seed(0)
    findings = train(mlp(), *data(), zero=False, every=5)
    assert [f.rule for f in findings if f.severity != "info"] == ["stale_gradients"]


@pytest.mark.parametrize("in_place", [True, False])
def test_zeroed_after_the_optimisers_step_is_zeroed(in_place):
    torch.manual_seed(0)
    model = mlp()
    x, y = data()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with watch(model, optimizer, loss=nn.MSELoss(), every=1, to=":memory:") as probe:
        for _ in range(STEPS):
            value = probe.loss(model(x), y)
            value.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=not in_place)
            probe.step(value)
    assert not accused(probe.findings())


def test_a_group_that_never_moves_beside_others_is_told():
    torch.manual_seed(0)
    model = mlp()
    optimizer = torch.optim.SGD(
        [{"params": model[:4].parameters(), "lr": 0.0}, {"params": model[4].parameters()}], 0.05
    )
    found = next(f for f in train(model, *data(), optimizer=optimizer) if f.rule == "frozen")
    assert found.severity == "warning"
    assert set(found.modules) == {"0", "2"}


def test_a_head_that_is_in_no_optimizer_is_told_and_what_another_trains_is_not():
    torch.manual_seed(0)
    model = mlp()
    x, y = data()
    body = torch.optim.SGD(model[:4].parameters(), 0.05)
    assert accused(train(model, x, y, optimizer=body)) == {"frozen"}
    other = torch.optim.SGD(model[4].parameters(), 0.01)

    def each(number):
        if number:
            other.step()
            other.zero_grad()

    torch.manual_seed(0)
    model = mlp()
    body = torch.optim.SGD(model[:4].parameters(), 0.05)
    other = torch.optim.SGD(model[4].parameters(), 0.01)
    assert accused(train(model, x, y, optimizer=body, each=each)) == set()


def alike(value):
    model = mlp(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    return model


def test_copies_are_a_fault_of_a_network_that_learns():
    model = alike(0.1)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    findings = train(model, *data("classes"), loss=nn.CrossEntropyLoss(), optimizer=optimizer)
    assert [(f.rule, f.severity) for f in findings if f.severity != "info"] == [
        ("symmetry", "warning")
    ]


@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU, nn.LSTM])
def test_copies_among_recurrent_units_and_embedded_features(cell):
    class Net(nn.Module):
        def __init__(self, value):
            super().__init__()
            self.embedding, self.cell = nn.Embedding(5, 4), cell(4, 6, batch_first=True)
            self.head = nn.Linear(6, 1)
            if value is not None:
                for parameter in self.parameters():  # a head that differs would part the copies
                    nn.init.constant_(parameter, value)

        def forward(self, x):
            return self.head(self.cell(self.embedding(x))[0][:, -1])

    x = torch.randint(5, (64, 3), generator=torch.Generator().manual_seed(1))
    y = (x[:, -1:] - 2).float()

    def found(value):
        torch.manual_seed(0)
        model = Net(value)
        return train(model, x, y, optimizer=torch.optim.Adam(model.parameters(), 0.02))

    symmetry = next(f for f in found(0.2) if f.rule == "symmetry")
    assert symmetry.severity != "info"
    assert "cell" in symmetry.modules
    assert "symmetry" not in {f.rule for f in found(None)}


def test_copies_that_do_not_train_are_by_design():
    torch.manual_seed(0)
    model = mlp()
    with torch.no_grad():
        model[2].weight.fill_(1 / 32)
    model[2].requires_grad_(False)
    assert "symmetry" not in {f.rule for f in train(model, *data())}
