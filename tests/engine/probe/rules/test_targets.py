"""Labels of one class alone, and of one after another."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from layerscope.engine.probe.watch import watch
from tests.faults import mlp

STEPS = 60


def found_with(batch):
    """``batch(number, y)``: which samples are taken in a step, and their labels."""
    torch.manual_seed(0)
    x = torch.randn(300, 10)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    model = mlp(3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, loss=F.cross_entropy, every=1, to=":memory:") as probe:
        for number in range(STEPS):
            chosen, labels = batch(number, y)
            optimizer.zero_grad()
            value = probe.loss(model(x[chosen]), labels)
            value.backward()
            optimizer.step()
            probe.step(value)
    return next((f for f in probe.findings() if f.rule == "one_class"), None)


def drawn(many):
    return torch.randint(300, (many,))


def test_labels_that_are_all_alike_are_told():
    found = found_with(lambda _, y: (rows := drawn(32), torch.zeros_like(y[rows])))
    assert found is not None
    assert found.title == "All labels are 0, in every batch"
    assert found.evidence["classes"] == 1


def test_sorted_data_are_told_with_their_repair():
    def one_after_another(number, y):
        label = number * 3 // STEPS
        rows = (y == label).nonzero()[:, 0]
        rows = rows[torch.randint(len(rows), (32,))]
        return rows, y[rows]

    found = found_with(one_after_another)
    assert found is not None
    assert found.severity in ("warning", "error")
    assert found.evidence["classes"] == 3
    assert "shuffle=True" in found.fix["code"]


@pytest.mark.parametrize("many", [32, 1, 4])
def test_mixed_batches_and_small_ones_are_not(many):
    def mixed(_, y):
        rows = drawn(many)
        return rows, y[rows]

    assert found_with(mixed) is None


def test_of_scores_of_pairs_the_right_one_first_it_is_a_note():
    x = torch.randn(300, 10)
    asked, answers = torch.nn.Linear(10, 16), torch.nn.Linear(10, 16)
    model = torch.nn.ModuleList([asked, answers])
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    with watch(model, optimizer, loss=F.cross_entropy, every=1, to=":memory:") as probe:
        for _ in range(STEPS):
            some = x[drawn(32)]
            others = torch.stack([some.roll(shift, 0) for shift in range(6)], 1)
            scores = (asked(some)[:, None] * answers(others)).sum(2)
            optimizer.zero_grad()
            value = probe.loss(scores, torch.zeros(32, dtype=torch.long))
            value.backward()
            optimizer.step()
            probe.step(value)
    [found] = probe.findings()
    assert (found.rule, found.severity) == ("one_class", "info")


def test_labels_of_several_calls_in_a_step_are_seen_together():
    """As of a critic that is asked of real ones and of drawn ones, or of batches added up."""
    x, model = torch.randn(300, 10), mlp(2)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    with watch(model, optimizer, loss=F.cross_entropy, every=1, to=":memory:") as probe:
        for _ in range(STEPS):
            optimizer.zero_grad()
            losses = []
            for label in (0, 1):
                some = x[drawn(32)] + (3 if label else 0)
                losses.append(probe.loss(model(some), torch.full((32,), label)))
            value = sum(losses)
            value.backward()
            optimizer.step()
            probe.step(value)
    assert not [f for f in probe.findings() if f.rule == "one_class"]
