"""Weights that decay away."""

from __future__ import annotations

import torch
from torch import nn

from tests.faults import accused, data, mlp, train


def test_weights_that_a_decay_takes_away_are_not_moved_by_the_loss():
    torch.manual_seed(0)
    model = mlp(3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=2.0)
    loss = nn.CrossEntropyLoss()
    found = train(model, *data("classes"), loss=loss, optimizer=optimizer, steps=120)
    assert found
    assert "learning_rate_high" not in accused(found)


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


def test_the_fix_names_the_groups_own_decay():
    torch.manual_seed(0)
    model = mlp(3)
    groups = [
        {"params": model[0].parameters(), "weight_decay": 0.2},
        {"params": model[1:].parameters(), "weight_decay": 0.3},
    ]
    optimizer = torch.optim.Adam(groups, 0.01)
    loss = nn.CrossEntropyLoss()
    found = train(model, *data("classes"), loss=loss, optimizer=optimizer, steps=150)
    told = [f for f in found if f.fix and "param_groups[1]['weight_decay']" in f.fix["code"]]
    assert told
    assert told[0].fix["code"].endswith("# was 0.3")


def test_who_makes_weights_smaller_beside_the_optimiser_is_not_told_of_its_decay():
    torch.manual_seed(0)
    model = mlp(3)

    def each(_):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.9)

    loss = nn.CrossEntropyLoss()
    found = train(model, *data("classes"), loss=loss, lr=1e-3, each=each, steps=120)
    codes = [f.fix["code"] for f in found if f.fix]
    assert any("the optimiser has no weight_decay" in code for code in codes)


def test_a_decay_that_leaves_next_to_nothing_is_told_by_the_optimisers_settings():
    x, y = data("classes")

    def found(decay, rate=0.005, steps=150):
        torch.manual_seed(0)
        model = mlp(3)
        optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=decay)
        return train(model, x, y, loss=nn.CrossEntropyLoss(), optimizer=optimizer, steps=steps)

    [told] = [f for f in found(50.0) if f.rule == "weight_decay"]
    assert told.title == "Every step takes 25% of the weights away"
    assert "comes to 0.02 and no further" in told.explanation
    assert told.fix["code"].endswith("# was 50")
    assert "learning_rate_high" not in accused(found(50.0))
    for decay, rate in [(0.1, 0.005), (1.0, 0.01), (50.0, 1e-5)]:
        assert "weight_decay" not in accused(found(decay, rate))
