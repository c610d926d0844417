"""Real small trainings, each fault beside its repaired twin; and what only looks wrong."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from layerscope.engine.probe.watch import watch

STEPS = 40


def data(kind="regression", n=64, features=10):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(n, features, generator=g)
    if kind == "regression":
        return x, (x[:, :2] * torch.tensor([1.0, -1.0])).sum(1, keepdim=True)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def mlp(outputs=1, hidden=32, features=10, activation=nn.ReLU):
    return nn.Sequential(
        nn.Linear(features, hidden), activation(), nn.Linear(hidden, hidden), activation(),
        nn.Linear(hidden, outputs),
    )  # fmt: skip


def train(
    model, x, y, loss=None, lr=0.05, optimizer=None, zero=True, steps=STEPS, every=1, forward=None,
    each=None,
):  # fmt: skip
    """The rules' names by severity at the end."""
    loss = loss or nn.MSELoss()
    optimizer = optimizer or torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr)
    forward = forward or model
    with watch(model, optimizer, loss=loss, every=every, to=":memory:") as probe:
        for number in range(steps):
            if each is not None:
                each(number)
            if zero:
                optimizer.zero_grad()
            value = probe.loss(forward(x), y)
            value.backward()
            optimizer.step()
            probe.step(value)
    assert probe.error is None, repr(probe.error)
    return probe.findings()


def accused(findings):
    return {f.rule for f in findings if f.severity != "info"}


def seeded(function):
    torch.manual_seed(0)
    return function()


def rate(lr):
    return lambda: train(mlp(), *data(), lr=lr)


def broadcast(repaired):
    x, y = data()
    return train(mlp(), x, y if repaired else y[:, 0])


def twice_softmax(repaired):
    model = mlp(3)
    model = model if repaired else nn.Sequential(*model, nn.Softmax(1))
    return train(model, *data("classes"), loss=nn.CrossEntropyLoss(), lr=0.3)


def positive_logarithms(repaired):
    model = mlp(3)
    model = nn.Sequential(*model, nn.LogSoftmax(1)) if repaired else model
    return train(model, *data("classes"), loss=nn.NLLLoss(), lr=0.1)


def never_zeroed(repaired):
    return train(mlp(), *data(), lr=0.05, zero=repaired)


def evaluating(repaired):
    model = nn.Sequential(nn.Linear(10, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))
    model.train(repaired)
    return train(model, *data())


def unscaled(repaired):
    x, y = data()
    return train(mlp(), x if repaired else x * 50 + 128, y, lr=0.05)


def detached(repaired):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(10, 16), nn.Linear(16, 1)

        def forward(self, x):
            x = self.first(x).relu()
            return self.second(x if repaired else x.detach())

    x, y = data()
    return train(Net(), x, y + 0 * x[:, :1])


def forgotten(repaired):
    model = mlp()
    parameters = list(model.parameters()) if repaired else [model[0].bias]
    return train(model, *data(), optimizer=torch.optim.SGD(parameters, 0.05))


def lost_updates(repaired):
    model = mlp().bfloat16()
    x, y = (t.bfloat16() for t in data())
    with torch.no_grad():
        for p in model.parameters():
            p.add_(p.sign() * 0.2)
    return train(model, x, y, lr=0.05 if repaired else 1e-6)


def constant(repaired):
    model = mlp()
    if not repaired:
        with torch.no_grad():
            model[2].bias.fill_(-100.0)
    return train(model, *data())


PAIRS = {
    "learning_rate_high": (rate(20.0), rate(0.05)),
    "learning_rate_low": (rate(1e-7), rate(0.05)),
    "wrong_loss: broadcast": (lambda: broadcast(False), lambda: broadcast(True)),
    "wrong_loss: softmax": (lambda: twice_softmax(False), lambda: twice_softmax(True)),
    "wrong_loss: logarithms": (
        lambda: positive_logarithms(False), lambda: positive_logarithms(True),
    ),
    "stale_gradients": (lambda: never_zeroed(False), lambda: never_zeroed(True)),
    "eval_mode": (lambda: evaluating(False), lambda: evaluating(True)),
    "input_scale": (lambda: unscaled(False), lambda: unscaled(True)),
    "frozen: detached": (lambda: detached(False), lambda: detached(True)),
    "frozen: forgotten": (lambda: forgotten(False), lambda: forgotten(True)),
    "precision_loss": (lambda: lost_updates(False), lambda: lost_updates(True)),
    "constant_output": (lambda: constant(False), lambda: constant(True)),
}  # fmt: skip


BROADCASTS = pytest.mark.filterwarnings("ignore:Using a target size")


@BROADCASTS
@pytest.mark.parametrize("name", PAIRS)
def test_a_fault_is_named_and_its_twin_is_not_accused(name):
    faulty, repaired = PAIRS[name]
    rule = name.partition(":")[0]
    findings = seeded(faulty)
    named = {f.rule for root in findings for f in (root, *root.consequences)}
    assert rule in named, findings
    assert accused(findings), findings
    assert accused(seeded(repaired)) == set()


@BROADCASTS
@pytest.mark.parametrize("name", PAIRS)
def test_one_fault_is_one_accusation(name):
    findings = seeded(PAIRS[name][0])
    assert len(accused(findings)) == 1, [f.to_dict() for f in findings]


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


def residual(zero):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(10, 10), nn.Linear(10, 10)
            if zero:
                nn.init.zeros_(self.b.weight)
                nn.init.zeros_(self.b.bias)

        def forward(self, x):
            return x + self.b(F.relu(self.a(x)))

    return nn.Sequential(Block(), Block(), nn.Linear(10, 1))


def lora():
    class Adapted(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = nn.Linear(10, 10).requires_grad_(False)
            self.down, self.up = nn.Linear(10, 2, bias=False), nn.Linear(2, 10, bias=False)
            nn.init.zeros_(self.up.weight)

        def forward(self, x):
            return self.base(x) + self.up(self.down(x))

    return nn.Sequential(Adapted(), nn.ReLU(), nn.Linear(10, 1))


def frozen_backbone():
    model = mlp()
    model[0].requires_grad_(False)
    return train(model, *data())


def head_alone():
    model = mlp()
    return train(model, *data(), optimizer=torch.optim.SGD(model[4].parameters(), 0.05))


def warm_up():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.0)

    def each(number):
        optimizer.param_groups[0]["lr"] = 1e-9 * 1.3**number

    return train(model, *data(), optimizer=optimizer, each=each)


def adam_with_tiny_gradients():
    model = mlp()
    x, y = data()
    optimizer = torch.optim.Adam(model.parameters(), 0.01, eps=1e-30)
    return train(model, x, y, loss=lambda a, b: 1e-12 * F.mse_loss(a, b), optimizer=optimizer)


def accumulated():
    model = mlp()
    x, y = data()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with watch(model, optimizer, loss=nn.MSELoss(), every=1, to=":memory:") as probe:
        for _ in range(STEPS):
            for part in range(4):
                value = probe.loss(model(x[part::4]), y[part::4]) / 4
                value.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.step(value)
    return probe.findings()


def noise():
    x, _ = data()
    y = torch.randn(64, 1, generator=torch.Generator().manual_seed(5))

    def forward(_):
        return model(torch.randn(64, 10))

    model = mlp()
    return train(model, x, y, forward=forward, lr=0.01)


def huge_targets():
    x, y = data()
    model = mlp()
    return train(model, x, 1e4 * y, optimizer=torch.optim.Adam(model.parameters(), 0.1))


def sparse_relu():
    model = mlp(hidden=256)
    with torch.no_grad():
        model[0].bias.fill_(-1.0)
    return train(model, *data())


LOOKS_WRONG = {
    "zero residual branches": lambda: train(residual(True), *data()),
    "LoRA": lambda: train(lora(), *data()),
    "frozen backbone": frozen_backbone,
    "a head trained alone": head_alone,
    "warm-up": warm_up,
    "Adam with tiny gradients": adam_with_tiny_gradients,
    "accumulation": accumulated,
    "noise": noise,
    "huge targets": huge_targets,
    "sparse ReLU": sparse_relu,
    "sigmoid": lambda: train(mlp(activation=nn.Sigmoid), *data(), lr=0.03, steps=150),
    "classification": lambda: train(
        mlp(3), *data("classes"), loss=nn.CrossEntropyLoss(), lr=0.3
    ),
}  # fmt: skip


def test_a_net_that_a_step_has_driven_into_saturation_is_told_so():
    """The loss goes from 2.6 to 100 in three steps, and then stays at the constant answer's."""
    findings = seeded(lambda: train(mlp(activation=nn.Sigmoid), *data(), lr=0.3))
    assert accused(findings) == {"learning_rate_high"}
    assert "saturation" in {f.rule for f in findings[0].consequences}


def scaled_up_at_the_start():
    model = mlp()
    with torch.no_grad():
        model[4].weight.mul_(1e4)
    return train(model, *data(), lr=1e-3)


def test_what_was_there_before_the_first_step_is_no_consequence_of_the_steps():
    found = seeded(scaled_up_at_the_start)[0]
    assert (found.rule, found.since) == ("output_scale", 1)
    assert "learning_rate_high" in {f.rule for f in found.consequences}


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


def test_a_cause_that_is_harmless_alone_stands_under_what_it_has_led_to():
    torch.manual_seed(0)
    model = mlp()
    with torch.no_grad():
        model[0].bias.fill_(-20.0)
    found = train(model, *data())[0]
    assert found.rule == "dead_units"
    assert "large_bias" in {f.rule for f in found.consequences}
    assert "biases of rms 20" in found.explanation


def test_a_sigmoid_before_a_loss_that_takes_logits():
    x, y = data("classes")
    y = (y > 1).float()[:, None]

    def findings(*last):
        torch.manual_seed(0)
        model = nn.Sequential(*mlp(), *last)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        return train(model, x, y, loss=nn.BCEWithLogitsLoss(), optimizer=optimizer)

    assert accused(findings(nn.Sigmoid())) == {"wrong_loss"}
    assert accused(findings()) == set()


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


def test_gradients_that_underflow_at_the_output():
    torch.manual_seed(0)
    model = mlp().half()
    x, y = data()

    def loss(output, target):
        return 1e-7 * F.mse_loss(output.float(), target)

    found = train(model, x.half(), y, loss=loss, lr=0.1)
    assert "precision_loss" in accused(found)


@pytest.mark.parametrize("name", LOOKS_WRONG)
def test_nobody_is_accused_of_what_only_looks_wrong(name):
    assert accused(seeded(LOOKS_WRONG[name])) == set()


def test_after_few_steps_nothing_is_said_of_how_it_goes():
    torch.manual_seed(0)
    assert not accused(train(mlp(), *data(), lr=1e-7, steps=4))


def test_a_finding_brings_the_lines_that_help():
    finding = seeded(PAIRS["learning_rate_high"][0])[0]
    assert finding.fix["code"].startswith("optimizer.param_groups[0]['lr'] = ")
    assert finding.since == 1


@pytest.mark.parametrize(
    ("rate", "steps"), [(1.0, 40), (5.0, 5), (5.0, 40), (1e6, 5), (1e6, 40), (1e12, 3)]
)
def test_a_rate_is_judged_by_its_first_too_large_step_and_the_one_that_is_offered_learns(
    rate, steps
):
    """Not by the steps after: what has exploded moves by any factor, and then is not finite."""
    x, y = data()
    torch.manual_seed(0)
    (finding,) = train(nn.Linear(10, 1), x, y, lr=rate, steps=steps)
    assert (finding.rule, finding.since, finding.severity) == ("learning_rate_high", 1, "error")
    assert finding.evidence["learning_rate"] == rate
    assert finding.evidence["first_loss"] < 10  # though it has exploded within the first steps
    assert "%" not in finding.title or rate == 1.0
    offered = float(finding.fix["code"].partition("= ")[2].partition(" ")[0])
    assert 1e-5 < offered < 0.1
    torch.manual_seed(0)
    again = nn.Linear(10, 1)
    with torch.no_grad():
        before = F.mse_loss(again(x), y)
    assert accused(train(again, x, y, lr=offered, steps=200)) == set()
    with torch.no_grad():
        assert F.mse_loss(again(x), y) < 0.95 * before


def test_what_was_beyond_all_bounds_before_any_step_is_no_learning_rate():
    """A state that grows 1.6-fold a step of the sequence: no rate would have helped."""
    torch.manual_seed(0)
    cell, head = nn.RNN(1, 32, nonlinearity="relu"), nn.Linear(32, 1)
    with torch.no_grad():
        cell.weight_hh_l0.copy_(1.6 * torch.eye(32))
    x = torch.randn(50, 64, 1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = cell, head

        def forward(self, x):
            return self.head(self.cell(x.transpose(0, 1))[0][-1])

    def unknown(output, target):
        """A loss of which nobody knows the constant predictor's."""
        return (output - target).square().mean()

    found = train(Net(), x.transpose(0, 1), x.mean(0), loss=unknown, lr=0.01, steps=12)
    assert found[0].rule == "nonfinite"
    assert accused(found) == {"nonfinite"}
    (rate,) = [f for f in found[0].consequences if f.rule == "learning_rate_high"]
    assert "×10" in rate.title
    assert rate.fix is None


@pytest.mark.parametrize(("ends", "expected"), [(10, {"learning_rate_low"}), (None, set())])
def test_a_rate_that_ends_before_the_loss_has_come_far_is_too_low(ends, expected):
    torch.manual_seed(0)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)

    def each(number):
        if number == ends:
            optimizer.param_groups[0]["lr"] = 0.0

    found = train(model, *data(), optimizer=optimizer, steps=60, each=each)
    assert accused(found) == expected
    assert not expected or found[0].title == "No weight changes any more"


def test_an_input_that_is_one_number_is_said_to_be():
    torch.manual_seed(0)
    x, y = data("classes")
    (finding,) = train(mlp(3), torch.zeros_like(x), y, loss=nn.CrossEntropyLoss(), lr=0.1)
    assert finding.rule == "constant_output"
    assert "What goes into 0 is 0 at every entry, in each of" in finding.explanation
    (finding,) = seeded(PAIRS["constant_output"][0])
    assert "What goes into" not in finding.explanation


def test_what_breaks_without_having_grown_is_no_learning_rate():
    def each(number):
        if number == 15:
            x[0, 0] = torch.nan

    x, y = data()
    torch.manual_seed(0)
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    found = train(model, x, y, optimizer=optimizer, each=each)
    assert found[0].rule == "nonfinite"
    assert "learning_rate_high" not in {f.rule for f in found}


def test_the_loss_starts_somewhere_only_before_the_first_step():
    x, y = data()
    torch.manual_seed(0)
    (root,) = train(nn.Linear(10, 1), x, y, lr=2.0, steps=4)
    (finding,) = (f for f in root.consequences if f.rule == "output_scale")
    assert finding.title.startswith("The loss is ")
    with torch.no_grad():
        (model := nn.Linear(10, 1)).weight.mul_(1e3)
    (finding,) = train(model, x, y, lr=1e-6, steps=1)
    assert finding.title.startswith("The loss starts ")


def test_how_it_started_stands_until_it_has_learned():
    """What the newest step says is below what would be warned of."""
    torch.manual_seed(0)
    model = mlp()
    with torch.no_grad():
        model[-1].weight.mul_(1000)
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    found = train(model, *data(), optimizer=optimizer, steps=40)
    (finding,) = (f for f in found if f.rule == "output_scale")
    assert (finding.since, finding.severity) == (1, "error")
    assert finding.title.startswith("The loss starts")


def test_findings_are_called_back_and_stop():
    torch.manual_seed(0)
    model, told = mlp(), []
    x, y = data()
    optimizer = torch.optim.SGD(model.parameters(), 20.0)
    done = 0
    with watch(
        model, optimizer, loss=nn.MSELoss(), every=1, to=":memory:",
        on_finding=told.append, stop_on="error",
    ) as probe:  # fmt: skip
        for _ in range(200):
            value = probe.loss(model(x), y)
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.step(value)
            done += 1
    assert done < 50
    assert probe.state == "stopped"
    assert told[-1].severity == "error"
