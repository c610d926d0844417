"""Learning rates that are too low, schedules that have ended, and those that are waited for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.faults import accused, data, mlp, seeded, train


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


def told(model, scheduled, rate=0.01, steps=200):
    optimizer = torch.optim.Adam(model.parameters(), rate)
    scheduler = scheduled(optimizer)

    def each(number):
        if number:
            scheduler.step()

    found = train(
        model, *data("classes"), loss=nn.CrossEntropyLoss(), optimizer=optimizer, steps=steps,
        each=each,
    )  # fmt: skip
    return next((f for f in found if f.rule == "learning_rate_low"), None)


def test_a_schedule_that_has_ended_is_told_and_not_a_thousandfold_of_nothing():
    found = seeded(lambda: told(mlp(3), lambda o: torch.optim.lr_scheduler.StepLR(o, 1, 0.5)))
    assert found is not None
    assert "fallen from 0.01 to" in found.explanation
    assert found.fix["code"].startswith("# scheduler.step() once an epoch")


def test_a_factor_that_was_given_as_a_rate_is_told_and_is_no_warm_up():
    """It grows for fifty steps, and stands: of a scheduler that multiplies 0.001 by 0.001."""

    def scheduled(optimizer):
        rate = lambda n: 1e-3 * min(1.0, (n + 1) / 50)  # noqa: E731
        return torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

    found = seeded(lambda: told(mlp(3), scheduled, rate=1e-3))
    assert found is not None
    assert "warmed up" not in found.explanation
    assert "multiplies 0.001 by 0.001" in found.explanation
    assert "LambdaLR takes a factor" in found.fix["code"]


@pytest.mark.parametrize(("scale", "far"), [(3e5, True), (1.0, False)])
def test_targets_far_away_are_told_by_squares_that_are_taken_elsewhere(scale, far):
    torch.manual_seed(0)
    x, y = data()
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), 0.003)
    found = train(model, x, scale * (y + 2), F.mse_loss, optimizer=optimizer, steps=120,
                  heard=False)  # fmt: skip
    low = next((f for f in found if f.rule == "learning_rate_low"), None)
    assert (low is not None) is far
    if low is not None:
        assert low.evidence["times_output"] > low.threshold["times_output"]
