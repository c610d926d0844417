"""Gradients that are not zeroed, parameters that nobody moves, and copies of one another."""

from __future__ import annotations

import contextlib

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


def frozen(model, optimizer=None, **others):
    optimizer = optimizer or torch.optim.Adam(model.parameters(), 0.01)
    found = train(model, *data(), optimizer=optimizer, **others)
    return next((f for f in found if f.rule == "frozen"), None)


def test_a_module_replaced_after_the_optimizer_was_made_is_not_a_head_trained_alone():
    torch.manual_seed(0)
    replaced, alone = mlp(), mlp()
    optimizer = torch.optim.Adam(replaced.parameters(), 0.02)
    replaced[0] = nn.Linear(10, 32)
    found = frozen(replaced, optimizer)
    assert found.severity != "info"
    assert "2 others in their place" in found.explanation
    head = torch.optim.Adam(alone[4].parameters(), 0.02)
    assert frozen(alone, head).severity == "info"


def test_who_waits_in_the_optimizer_for_later_is_in_nobodys_place():
    torch.manual_seed(0)
    model, temperature = mlp(), nn.Parameter(torch.ones(()))
    found = frozen(model, torch.optim.Adam([*model[4].parameters(), temperature], 0.02))
    assert found.severity == "info"
    assert "place" not in found.explanation


class Held(nn.Module):
    """Its first layer is held by a container of Python's."""

    def __init__(self, hold):
        super().__init__()
        self.first = lambda: layer
        layer = nn.Linear(10, 24)
        self.layers, self.head = hold(layer), nn.Linear(24, 1)

    def forward(self, x):
        return self.head(self.first()(x).relu())


@pytest.mark.parametrize(
    ("hold", "name"),
    [
        (lambda layer: [layer], "layers[0]"),
        (lambda layer: {"a": layer}, "layers[a]"),
        (lambda layer: {"a": [layer]}, "layers[a][0]"),
        (lambda layer: [(0.5, layer)], "layers[0][1]"),
    ],
)
def test_layers_in_a_container_of_pythons_are_in_no_optimizer(hold, name):
    torch.manual_seed(0)
    found = frozen(Held(hold), steps=12)
    assert found.severity != "info"
    assert found.evidence["parameters"] == [f"{name}.weight", f"{name}.bias"]


def test_layers_in_a_list_that_do_not_train_are_left_alone():
    torch.manual_seed(0)
    assert frozen(Held(lambda layer: [layer.requires_grad_(False)]), steps=12) is None


@pytest.mark.parametrize("how", ["same", "unwatched", "data"])
def test_layers_in_a_list_that_somebody_steps_are_left_alone(how):
    torch.manual_seed(0)
    model = Held(lambda layer: [layer])
    hidden = list(model.first().parameters())
    own = torch.optim.Adam([*model.parameters(), *(hidden if how == "same" else [])], 0.01)
    other = torch.optim.SGD(hidden, 0.01)

    def each(number):
        if how == "unwatched":
            other.step()
        for p in hidden:
            if how == "data" and p.grad is not None:
                p.data -= 0.01 * p.grad
            p.grad = None

    assert frozen(model, own, each=each) is None


def test_an_owner_that_a_part_knows_of_is_no_list_of_layers():
    torch.manual_seed(0)

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.part, self.head = nn.Linear(10, 24), nn.Linear(24, 1)
            self.part.owner = [self]

        def forward(self, x):
            return self.head(self.part(x).relu())

    whole = Whole()
    optimizer = torch.optim.Adam(whole.part.parameters(), 0.01)
    x, y = data()
    with watch(whole.part, optimizer, loss=nn.MSELoss(), every=1, to=":memory:") as probe:
        for _ in range(20):
            whole.zero_grad()
            value = probe.loss(whole(x), y)
            value.backward()
            optimizer.step()
            probe.step(value)
    assert "frozen" not in {f.rule for f in probe.findings()}


def told_frozen(findings):
    return next((f for f in findings if f.rule == "frozen"), None)


class Low(nn.Module):
    """A kept layer and a product of two matrices beside it, of which ``zeros`` begin at zero."""

    def __init__(self, zeros):
        super().__init__()
        self.kept = nn.Linear(10, 1).requires_grad_(False)
        self.a, self.b = nn.Parameter(torch.randn(10, 4)), nn.Parameter(torch.randn(4, 1))
        with torch.no_grad():
            for name in zeros:
                getattr(self, name).zero_()

    def forward(self, x):
        return self.kept(x) + x @ self.a @ self.b


@pytest.mark.parametrize(("zeros", "told"), [("ab", True), ("b", False), ("", False)])
def test_a_product_of_zeros_is_told_and_one_zero_alone_is_not(zeros, told):
    torch.manual_seed(0)
    model = Low(zeros)
    optimizer = torch.optim.SGD([model.a, model.b], 0.005)
    found = told_frozen(train(model, *data(), optimizer=optimizer))
    assert (found is not None) is told
    if told:
        assert found.evidence["parameters"] == ["a", "b"]


@pytest.mark.parametrize(("rate", "told"), [(1e-9, True), (1e-3, False)])
def test_a_group_next_to_rest_is_told_with_both_rates(rate, told):
    torch.manual_seed(0)
    model = mlp()
    groups = [{"params": model[0].parameters(), "lr": rate}, {"params": model[1:].parameters()}]
    found = told_frozen(train(model, *data(), optimizer=torch.optim.SGD(groups, 0.003)))
    assert (found is not None) is told
    if told:
        assert "1e-09" in found.explanation or "10⁻⁹" in found.explanation
        assert found.modules == ("0",)


def test_a_layer_made_in_forward_is_told():
    torch.manual_seed(0)
    model = mlp(8)
    found = told_frozen(train(model, *data(), forward=lambda x: nn.Linear(8, 1)(model(x))))
    assert found is not None
    assert "made anew" in found.title


def test_what_nothing_uses_is_not_said_to_be_detached():
    class Left(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.left = nn.Linear(10, 1), nn.Linear(10, 1)

        def forward(self, x):
            self.left(x)
            return self.used(x)

    torch.manual_seed(0)
    found = told_frozen(train(Left(), *data()))
    assert found is not None
    assert found.modules == ("left",)
    assert "nothing that the loss is made of uses" in found.explanation


@pytest.mark.parametrize("forgotten", [{0, 1}, {0}, set()], ids=["both", "one", "none"])
def test_an_optimiser_that_never_steps_is_told_from_gradients_that_are_lost(forgotten):
    torch.manual_seed(0)
    model = mlp()
    x, y = data()
    parts = [model[:1], model[1:]]
    optimizers = [torch.optim.SGD(part.parameters(), 0.05) for part in parts]
    warns = pytest.warns(UserWarning, match="no optimiser step was seen")
    with warns if len(forgotten) == 2 else contextlib.nullcontext():
        findings = _in_turn(model, x, y, optimizers, forgotten)
    found = told_frozen(findings)
    if not forgotten:
        assert found is None
        return
    assert "has not taken a step" in found.explanation
    assert found.fix["code"].startswith("optimizer.step()")
    assert ("2" in found.modules) == (len(forgotten) == 2)


def _in_turn(model, x, y, optimizers, forgotten):
    with watch(model, optimizers, loss=nn.MSELoss(), every=1, to=":memory:") as probe:
        for _ in range(STEPS):
            model.zero_grad()
            value = probe.loss(model(x), y)
            value.backward()
            for number, optimizer in enumerate(optimizers):
                if number not in forgotten:
                    optimizer.step()
            probe.step(value)
    return probe.findings()
