"""Learning rates, and what is no learning rate."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.faults import accused, data, mlp, seeded, train


def test_a_net_that_a_step_has_driven_into_saturation_is_told_so():
    """The loss goes from 2.6 to 100 in three steps, and then stays at the constant answer's."""
    findings = seeded(lambda: train(mlp(activation=nn.Sigmoid), *data(), lr=0.3))
    assert accused(findings) == {"learning_rate_high"}
    assert "saturation" in {f.rule for f in findings[0].consequences}


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
    assert found[0].rule == "exploding_activation"
    assert accused(found) == {"exploding_activation"}
    assert "nonfinite" in {f.rule for f in found[0].consequences}
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


def scaled_up_at_the_start():
    model = mlp()
    with torch.no_grad():
        model[4].weight.mul_(1e4)
    return train(model, *data(), lr=1e-3)


def test_what_was_there_before_the_first_step_is_no_consequence_of_the_steps():
    found = seeded(scaled_up_at_the_start)[0]
    assert (found.rule, found.since) == ("output_scale", 1)
    assert "learning_rate_high" in {f.rule for f in found.consequences}


@pytest.mark.parametrize(("steps", "told"), [(30, False), (110, True)])
def test_steps_that_together_change_no_weight_are_too_small_once_there_were_many(steps, told):
    torch.manual_seed(0)
    found = train(mlp(), *data(), lr=2e-5, steps=steps)
    assert ("learning_rate_low" in accused(found)) is told


def test_a_fine_tuning_is_not_hurried():
    torch.manual_seed(0)
    model = mlp(3)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-6)
    loss = nn.CrossEntropyLoss()
    found = train(model, *data("classes"), loss=loss, optimizer=optimizer, steps=30)
    assert accused(found) == set()


def test_who_is_where_it_was_to_come_may_take_small_steps_there():
    torch.manual_seed(0)
    x, _ = data()
    done = mlp()
    with torch.no_grad():
        y = done(x) + 0.01 * torch.randn(64, 1)
    assert "learning_rate_low" not in accused(train(done, x, y, lr=0.01, steps=110))


def test_small_weights_may_move_fast_before_the_loss_falls():
    torch.manual_seed(0)
    model = mlp(3)
    nn.init.normal_(model[-1].weight, 0, 1e-4)
    optimizer = torch.optim.Adam(model.parameters(), 3e-4)
    loss = nn.CrossEntropyLoss()
    found = train(model, *data("classes"), loss=loss, optimizer=optimizer, steps=12)
    assert accused(found) == set()


def warmed(length, peak, steps=120, shape=None):
    torch.manual_seed(0)
    model = mlp(3)
    optimizer = torch.optim.AdamW(model.parameters(), peak)
    shape = shape or (lambda step: min(1.0, (step + 1) / length))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)

    def each(number):
        if number:
            schedule.step()

    return train(
        model, *data("classes"), loss=nn.CrossEntropyLoss(), optimizer=optimizer, each=each,
        steps=steps,
    )  # fmt: skip


def test_a_warm_up_that_takes_a_million_steps_is_told_with_that_figure():
    (found,) = warmed(1_000_000, 1e-3)
    assert (found.rule, found.severity) == ("learning_rate_low", "warning")
    assert found.evidence["warm_up_steps"] == 1_000_000
    assert "full after 1,000,000 steps" in found.explanation


@pytest.mark.parametrize("length", [200, 10_000, 50_000])
def test_a_warm_up_that_others_take_too_is_waited_for(length):
    assert accused(warmed(length, 1e-4)) == set()


def test_of_a_rate_that_grows_ever_faster_nobody_knows_when_it_is_full():
    assert accused(warmed(0, 1e-3, shape=lambda step: 1e-7 * 1.05**step)) == set()


@pytest.mark.parametrize(
    "shape",
    [
        lambda step: 3e-4 * min(1, (step + 1) / 10_000),
        lambda step: 512**-0.5 * (step + 1) * 16_000**-1.5,
        lambda step: float("nan"),
    ],
    ids=["the rate itself", "Noam", "no number"],
)
def test_a_schedule_that_gives_the_rate_itself_is_no_warm_up_of_millions(shape):
    assert "learning_rate_low" not in accused(warmed(0, 1.0, shape=shape, steps=20))


def test_what_has_begun_at_zero_is_replaced_by_any_step():
    x, y = data()
    model = mlp()
    for parameter in model[:4].parameters():
        parameter.requires_grad_(False)
    nn.init.zeros_(model[4].weight)
    optimizer = torch.optim.Adam(model[4].parameters(), 1e-4)
    noisy = y + 3 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    assert "learning_rate_high" not in accused(train(model, x, noisy, optimizer=optimizer))


def test_targets_far_from_where_any_step_leads_are_told_by_a_constant_answers_loss():
    torch.manual_seed(0)
    x, y = data()
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    (found,) = train(model, x, 4e5 + 1e5 * y, optimizer=optimizer, steps=110)
    assert (found.rule, found.severity) == ("learning_rate_low", "warning")
    assert found.evidence["times_constant"] > 2
    for targets in (4 + y, 40 + 10 * y):  # which the outputs come nearer to, fast or not
        torch.manual_seed(0)
        model = mlp()
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        assert accused(train(model, x, targets, optimizer=optimizer, steps=150)) == set()


def test_outputs_far_from_their_targets_before_any_step_are_no_rate():
    torch.manual_seed(0)
    x, y = data()
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    found = train(model, x, 4e5 + y, optimizer=optimizer, steps=110)
    assert accused(found) == {"output_scale"}
    assert "learning_rate_low" in {f.rule for f in found[0].consequences}


def test_weights_that_a_decay_takes_away_are_not_moved_by_the_loss():
    torch.manual_seed(0)
    model = mlp(3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=2.0)
    loss = nn.CrossEntropyLoss()
    found = train(model, *data("classes"), loss=loss, optimizer=optimizer, steps=120)
    assert found
    assert "learning_rate_high" not in accused(found)


def test_what_begins_at_zero_does_not_hide_that_nothing_else_moves():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.shift = mlp(), nn.Parameter(torch.zeros(1, 10))

        def forward(self, x):
            return self.inner(x + self.shift)

    torch.manual_seed(0)
    found = train(Shifted(), *data(), lr=1e-8)
    assert accused(found) == {"learning_rate_low"}


def test_what_no_step_was_taken_against_hinders_nobody_as_far_as_is_known():
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(24, 24), nn.Tanh()) for _ in range(9)]
    for layer in layers:
        nn.init.normal_(layer[0].weight, std=0.55 / 24**0.5)
    model = nn.Sequential(nn.Linear(10, 24), *layers, nn.Linear(24, 1))
    found = train(model, *data(), lr=0.0)
    assert accused(found) == {"learning_rate_low"}
    assert {f.rule for f in found if f.severity == "info"} & {
        "vanishing_activation", "vanishing_gradient",
    }  # fmt: skip


def test_a_first_step_of_half_the_weights_keeps_the_loss_where_it_is():
    torch.manual_seed(0)
    x, _ = data()
    y = torch.randint(3, (64,), generator=torch.Generator().manual_seed(3))
    batches = iter(torch.randn(60, 64, 10, generator=torch.Generator().manual_seed(4)))
    model = mlp(3)
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    found = train(
        model, x, y, loss=nn.CrossEntropyLoss(), optimizer=optimizer, steps=60,
        forward=lambda _: model(next(batches)),
    )  # fmt: skip
    assert accused(found) == {"learning_rate_high"}


def test_a_loss_that_was_thrown_far_and_stands_where_it_began():
    """Large steps at the start alone: what they left learns no more."""
    torch.manual_seed(0)
    model = nn.Sequential(*mlp()[:4], nn.Linear(32, 1))
    x, y = data()
    y = y + 2 * torch.randn(64, 1, generator=torch.Generator().manual_seed(2))
    optimizer = torch.optim.Adam(model.parameters(), 3.0)

    def each(number):
        if number == 3:
            optimizer.param_groups[0]["lr"] = 1e-3

    found = train(model, x, y, optimizer=optimizer, steps=200, each=each)
    assert "learning_rate_high" in accused(found)
    torch.manual_seed(0)
    calm = mlp()
    optimizer = torch.optim.Adam(calm.parameters(), 1e-3)
    assert accused(train(calm, x, y, optimizer=optimizer, steps=200)) == set()


def test_decay_is_named_beside_what_fades_with_the_weights():
    x, y = data("classes")

    def findings(decay, **others):
        torch.manual_seed(0)
        model = mlp(3)
        optimizer = torch.optim.Adam(model.parameters(), 0.01, weight_decay=decay)
        return train(model, x, y, loss=nn.CrossEntropyLoss(), optimizer=optimizer, **others)

    found = findings(0.3, steps=150)
    assert "takes more from them than the loss gives back" in found[0].explanation
    assert "weight_decay" in found[0].fix["code"]
    assert not accused(findings(1e-3, steps=150))


def test_a_rate_that_is_too_high_is_never_too_low_as_well():
    """What a few steps have thrown far stands there, by steps of nothing."""
    torch.manual_seed(0)
    model = nn.Linear(10, 1)
    optimizer = torch.optim.SGD(model.parameters(), 30.0)

    def each(number):
        if number == 2:
            optimizer.param_groups[0]["lr"] = 1e-9

    found = train(model, *data(), optimizer=optimizer, steps=150, each=each)
    named = {f.rule for root in found for f in (root, *root.consequences)}
    assert "learning_rate_high" in named
    assert "learning_rate_low" not in named
