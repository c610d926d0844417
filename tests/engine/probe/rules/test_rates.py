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


def test_small_weights_may_move_fast_before_the_loss_falls():
    torch.manual_seed(0)
    model = mlp(3)
    nn.init.normal_(model[-1].weight, 0, 1e-4)
    optimizer = torch.optim.Adam(model.parameters(), 3e-4)
    loss = nn.CrossEntropyLoss()
    found = train(model, *data("classes"), loss=loss, optimizer=optimizer, steps=12)
    assert accused(found) == set()


def test_what_has_begun_at_zero_is_replaced_by_any_step():
    x, y = data()
    model = mlp()
    for parameter in model[:4].parameters():
        parameter.requires_grad_(False)
    nn.init.zeros_(model[4].weight)
    optimizer = torch.optim.Adam(model[4].parameters(), 1e-4)
    noisy = y + 3 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    assert "learning_rate_high" not in accused(train(model, x, noisy, optimizer=optimizer))


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


@pytest.mark.parametrize(("momentum", "told"), [(0.999, True), (0.9, False)])
def test_a_momentum_that_adds_up_a_thousand_steps_is_the_fix(momentum, told):
    torch.manual_seed(0)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1 if told else 3.0, momentum=momentum)
    found = train(model, *data(), optimizer=optimizer, steps=120)
    high = next(f for f in found if f.rule == "learning_rate_high")
    assert ("momentum" in high.fix["code"]) is told
