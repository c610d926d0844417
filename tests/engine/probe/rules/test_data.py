"""What a network is given, and where it starts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.faults import PAIRS, accused, data, mlp, seeded, train


def test_an_input_that_is_one_number_is_said_to_be():
    torch.manual_seed(0)
    x, y = data("classes")
    (finding,) = train(mlp(3), torch.zeros_like(x), y, loss=nn.CrossEntropyLoss(), lr=0.1)
    assert finding.rule == "constant_output"
    assert "What goes into 0 is 0 at every entry, in each of" in finding.explanation
    (finding,) = seeded(PAIRS["constant_output"][0])
    assert "What goes into" not in finding.explanation


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


def test_a_cause_that_is_harmless_alone_stands_under_what_it_has_led_to():
    torch.manual_seed(0)
    model = mlp()
    with torch.no_grad():
        model[0].bias.fill_(-20.0)
    found = train(model, *data())[0]
    assert found.rule == "dead_units"
    assert "large_bias" in {f.rule for f in found.consequences}
    assert "biases of rms 20" in found.explanation


def pulled_together(apart):
    """Two views of a sample, by a loss of one's own; its neighbours are pushed ``apart`` or not."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 8))
    x, y = data()
    views = torch.Generator().manual_seed(1)

    def forward(x):
        other = x + 0.2 * torch.randn(x.shape, generator=views)
        return torch.cat([model(x), model(other)], 1)

    def loss(output, _):
        one, other = output.chunk(2, 1)
        together = (one - other).square().sum(1).mean()
        return together + apart * torch.relu(2 - (one - other.roll(1, 0)).norm(dim=1)).mean()

    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    return train(model, x, y, loss=loss, optimizer=optimizer, forward=forward, steps=220)


def test_a_loss_that_falls_as_all_samples_become_alike_is_told_of():
    (found,) = pulled_together(0.0)
    assert (found.rule, found.severity, found.modules) == ("constant_output", "warning", ("2",))
    assert found.evidence["differs"] < 0.03
    assert found.evidence["of_first"] < 0.03
    assert pulled_together(1.0) == []


def test_outputs_that_differ_by_some_percent_alone_may_be_meant_to():
    torch.manual_seed(0)
    model = mlp(4)
    nn.init.constant_(model[-1].bias, 1e3)
    x, _ = data()

    def loss(output, y):
        return (output - y).square().mean()

    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    found = train(model, x, 1e3 + x[:, :4], loss=loss, optimizer=optimizer, steps=120)
    assert "constant_output" not in {f.rule for f in found}


def test_where_norms_do_not_norm_the_signal_that_fades_is_their_consequence():
    torch.manual_seed(0)
    layers = []
    for width in (10, *[32] * 5):
        linear = nn.Linear(width, 32)
        nn.init.normal_(linear.weight, std=0.03)
        layers += [linear, nn.BatchNorm1d(32), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(32, 3)).eval()
    found = train(model, *data("classes"), loss=nn.CrossEntropyLoss())
    assert accused(found) == {"eval_mode"}
    assert {f.rule for f in found[0].consequences} & {"vanishing_gradient", "rank_collapse"}


def test_a_regression_on_quantities_that_hardly_vary_has_not_collapsed():
    x, _ = data()
    w = torch.randn(10, 2, generator=torch.Generator().manual_seed(1))
    y = torch.tensor([1.33, 1.52]) + 0.001 * (x @ w)
    torch.manual_seed(0)
    model = nn.Linear(10, 2)

    def squares(output, target):
        return (output - target).square().mean()

    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    found = train(model, x, y, loss=squares, optimizer=optimizer, steps=400)
    assert "constant_output" not in accused(found)


@pytest.mark.parametrize("kept", ["no_grad", "detached", "in no optimiser"])
def test_a_backbone_that_is_kept_as_it_is_may_be_in_eval_mode(kept):
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(10, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2))
    head = nn.Linear(32, 1)
    x, y = data()
    with torch.no_grad():
        backbone(x)
    backbone.eval()

    def forward(x):
        with torch.set_grad_enabled(kept != "no_grad"):
            features = backbone(x)
        return head(features.detach() if kept == "detached" else features)

    model = nn.Sequential(backbone, head)
    mine = torch.optim.Adam(head.parameters(), 0.01)
    assert "eval_mode" not in accused(train(model, x, y, optimizer=mine, forward=forward))
    both = torch.optim.Adam(model.parameters(), 0.01)
    found = train(model, x, y, optimizer=both, forward=lambda x: head(backbone(x)))
    [note] = [f for f in found if f.rule == "eval_mode"]
    assert note.severity == "info"  # the model itself is in training mode: so it is meant
    model.eval()
    found = train(model, x, y, optimizer=both, forward=lambda x: head(backbone(x)))
    assert "eval_mode" in accused(found)
