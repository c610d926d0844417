"""What is known of gradients without holding them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from layerscope.engine.probe.noted import Gradients, Noted
from layerscope.engine.probe.watched import Leaf, Tracked


@pytest.fixture
def tracked():
    """Three parameters with gradients, and one without."""
    found = []
    for place in range(4):
        parameter = nn.Parameter(torch.ones(2))
        if place < 3:
            parameter.grad = torch.full((2,), float(place))
        found.append(Tracked(Leaf("a", nn.ReLU()), place, f"p{place}", parameter))
    return found


def test_gradients_are_those_that_are_there(tracked):
    there = Gradients(tracked)
    assert there.several == tracked[:3]
    assert all(t is each.parameter.grad for t, each in zip(there.tensors, tracked, strict=False))
    assert there.table[:, 1].tolist() == [2, 2, 2]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 0]])
def test_they_are_others_once_one_is_written_or_replaced(tracked, order):
    before, some = Gradients(tracked), [tracked[place] for place in order]
    assert Gradients(some).are(before)
    tracked[0].parameter.grad.mul_(2.0)
    assert not Gradients(some).are(before)
    assert Gradients([tracked[2]]).are(before)
    tracked[2].parameter.grad = tracked[2].parameter.grad.clone()
    assert not Gradients([tracked[2]]).are(before)


def test_one_that_was_not_there_has_not_changed(tracked):
    before = Gradients(tracked[:2])
    assert Gradients(tracked[1:]).are(before)


def test_a_note_holds_no_gradient(tracked):
    noted = Noted(Gradients(tracked))
    assert not noted.gone
    for each in tracked:
        each.parameter.grad = None
    assert noted.tensors == [None] * 3
    assert noted.gone
    assert not noted.written
    assert not noted.shares(Gradients(tracked))


@pytest.mark.parametrize("order", [[0, 1, 2], [1], [2, 1, 0]])
def test_a_note_tells_the_same_object_and_whether_it_was_written(tracked, order):
    noted, some = Noted(Gradients(tracked)), [tracked[place] for place in order]
    assert noted.shares(Gradients(some))
    assert not noted.written
    tracked[1].parameter.grad.zero_()
    assert noted.written
    for each in tracked[:3]:
        each.parameter.grad = each.parameter.grad.clone()
    assert not noted.shares(Gradients(some))


def test_a_second_note_of_the_same_gradients_has_versions_of_its_own(tracked):
    first = Noted(Gradients(tracked))
    tracked[0].parameter.grad.mul_(2.0)
    second = Noted(Gradients(tracked), first)
    assert first.written
    assert not second.written
    tracked[1].parameter.grad = torch.ones(2)
    third = Noted(Gradients(tracked), second)
    assert third.tensors[1] is tracked[1].parameter.grad
    assert second.tensors[1] is None


def test_of_those_that_are_gone_nothing_is_known(tracked):
    noted = Noted(Gradients(tracked))
    noted.keep(tracked[1:])
    assert noted.several == tracked[1:3]
    tracked[0].parameter.grad.zero_()
    assert not noted.written
    tracked[2].parameter.grad.zero_()
    assert noted.written
