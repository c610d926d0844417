"""Which parameters a gradient reaches: in time, up to the optimiser, and for anything at all."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from layerscope.engine.probe.watch import watch
from tests.faults import accused, data, mlp, train


def frozen(findings):
    return next((f for f in findings if f.rule == "frozen"), None)


def remembered(moments=6):
    x = torch.randn(64, moments, 4, generator=torch.Generator().manual_seed(2))
    return x, x[:, 0, :1].clone()


def of_cell(cell, detach, first=0):
    """A cell called moment by moment, from ``first`` on with gradients."""
    head = nn.Linear(8, 1)
    single = isinstance(cell, nn.RNNCellBase)

    def forward(x):
        state = None
        for place, moment in enumerate(x.unbind(1)):
            with torch.set_grad_enabled(place >= first):
                if single:
                    state = cell(moment, state)
                    out, handed = (state[0], state) if isinstance(state, tuple) else (state, state)
                else:
                    out, handed = cell(moment[:, None], state)
                    out = out[:, 0]
                if detach:
                    parts = handed if isinstance(handed, tuple) else (handed,)
                    parts = tuple(part.detach() for part in parts)
                    state = parts if isinstance(handed, tuple) else parts[0]
                else:
                    state = handed
        return head(out)

    model = nn.ModuleList([cell, head])
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    return train(model, *remembered(), forward=forward, optimizer=optimizer, steps=20)


CELLS = {
    "RNNCell": lambda: nn.RNNCell(4, 8),
    "GRUCell": lambda: nn.GRUCell(4, 8),
    "LSTMCell": lambda: nn.LSTMCell(4, 8),
}


@pytest.mark.parametrize("kind", CELLS)
def test_a_state_that_is_detached_between_moments_is_told(kind):
    torch.manual_seed(0)
    found = frozen(of_cell(CELLS[kind](), True))
    assert found.severity != "info"
    assert found.evidence["calls"] == 6
    assert "1 of 6 calls" in found.title
    torch.manual_seed(0)
    assert frozen(of_cell(CELLS[kind](), False)) is None


def test_of_a_whole_layer_called_by_moments_nobody_knows():
    """Its state goes on by another tensor than the one that is seen."""
    torch.manual_seed(0)
    assert frozen(of_cell(nn.LSTM(4, 8, batch_first=True), False)) is None


def test_a_state_that_is_only_brought_there_without_gradients_is_left_alone():
    torch.manual_seed(0)
    assert frozen(of_cell(nn.GRUCell(4, 8), False, first=3)) is None


def test_sequences_that_are_only_looked_at_are_no_moments():
    torch.manual_seed(0)
    cell, head = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 1)
    model = nn.ModuleList([cell, head])
    x, y = remembered()

    def each(_):
        with torch.no_grad():
            for _ in range(3):
                cell(x)

    found = train(model, x, y, forward=lambda x: head(cell(x)[0][:, -1]), each=each, lr=0.01)
    assert frozen(found) is None


@pytest.mark.parametrize("how", ["nothing", "zeros", "later"])
def test_a_gradient_that_is_gone_when_the_optimizer_steps_has_not_been_detached(how):
    torch.manual_seed(0)
    model = mlp()
    x, y = data()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with watch(model, optimizer, loss=nn.MSELoss(), every=1, to=":memory:") as probe:
        for _ in range(20):
            value = probe.loss(model(x), y)
            if how == "later":
                optimizer.zero_grad()
                optimizer.step()
            value.backward()
            if how != "later":
                optimizer.zero_grad(set_to_none=how == "nothing")
                optimizer.step()
            probe.step(value)
    (found,) = [f for f in probe.findings() if f.severity != "info"]
    assert found.rule == "frozen"
    assert "when the optimiser steps" in found.title
    assert "detach" not in found.explanation
    assert found.fix["code"].startswith("optimizer.zero_grad(); loss.backward(); optimizer.step()")


def test_what_is_detached_is_told_to_be():
    torch.manual_seed(0)
    body, head = nn.Linear(10, 16), nn.Linear(16, 1)
    model = nn.ModuleList([body, head])
    found = frozen(train(model, *data(), forward=lambda x: head(body(x).relu().detach())))
    assert "detaches" in found.explanation
    assert found.evidence["parameters"] == ["0.weight", "0.bias"]


def two_heads(weight, lr=0.05):
    body, heads = mlp()[:4], nn.ModuleList([nn.Linear(32, 1), nn.Linear(32, 1)])
    model, now = nn.ModuleList([body, heads]), [0.0]
    x, y = data()
    y = torch.cat([y, x[:, 3:4]], 1)

    def each(number):
        now[0] = weight(number)

    def loss(output, y):
        others = F.mse_loss(output[:, 1:], y[:, 1:])
        return F.mse_loss(output[:, :1], y[:, :1]) + now[0] * others

    return train(
        model, x, y, loss=loss, each=each, lr=lr,
        forward=lambda x: torch.cat([head(body(x)) for head in heads], 1),
    )  # fmt: skip


def test_a_head_of_which_the_loss_is_not_made_gets_nothing_but_zeros():
    torch.manual_seed(0)
    found = frozen(two_heads(lambda _: 0.0))
    assert found.severity == "info"  # it may be meant: what the loss is made of fares well
    assert found.evidence["parameters"] == ["1.1.weight", "1.1.bias"]
    assert found.evidence["largest_gradient"] == 0.0


def test_a_head_that_gets_nothing_but_zeros_is_told_of_where_the_rest_comes_not_far():
    torch.manual_seed(0)
    found = frozen(two_heads(lambda _: 0.0, lr=0.001))
    assert found.severity != "info"


def test_a_head_that_is_heard_later_is_left_alone():
    torch.manual_seed(0)
    assert accused(two_heads(lambda number: 0.5 * (number > 20))) == set()


def test_zeros_behind_dead_units_are_told_by_these():
    torch.manual_seed(0)
    model = mlp(3)
    nn.init.constant_(model[2].bias, -50.0)
    found = train(model, *data("classes"), loss=nn.CrossEntropyLoss())
    assert "frozen" not in {f.rule for root in found for f in (root, *root.consequences)}


@pytest.mark.parametrize(("called", "expected"), [(True, "info"), (False, None)])
def test_a_target_network_in_no_optimizer_that_gets_no_gradient_is_left_alone(called, expected):
    torch.manual_seed(0)
    net, target = mlp(), mlp()
    model = nn.ModuleList([net, target])

    def forward(x):
        with torch.set_grad_enabled(called):
            beside = target(x)
        return net(x) + 0.01 * beside

    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    found = frozen(train(model, *data(), forward=forward, optimizer=optimizer))
    assert (found and found.severity) == expected
