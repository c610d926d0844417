"""What rules are told of how a training has gone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from layerscope.engine.probe.history import History


@pytest.mark.parametrize(
    ("losses", "recorded", "expected"),
    [
        ([], [], 0),
        ([(1, 0.5), (2, 0.4)], [], 2),
        ([], [1, 4, 7], 7),
        ([(1, 0.5), (9, 0.4)], [1, 5], 9),
        ([(1, 0.5)], [1, 5, 9], 9),  # of later steps no loss was told
    ],
)
def test_a_training_has_come_as_far_as_anything_tells(losses, recorded, expected):
    steps = [SimpleNamespace(number=number) for number in recorded]
    assert History([], steps, losses, [v for _, v in losses]).number == expected


def told(losses):
    return History([], [], list(enumerate(losses, 1)), losses[:16])


NOISE = [0.01 * (-1) ** i for i in range(40)]


@pytest.mark.parametrize(
    ("losses", "rises"),
    [
        # A critic's loss rises as the generator learns.
        ([-0.4 + 0.01 * i + n for i, n in enumerate(NOISE)], False),
        ([0.05 * (-1) ** i + 0.01 * (i // 20) for i in range(40)], False),  # about zero
        ([-1.0 + 0.2 * i + n for i, n in enumerate(NOISE)], True),  # further than it ever was
        ([2.0 + 0.02 * i + n for i, n in enumerate(NOISE)], True),  # of a distance, by a fifth
        ([2.0 - 0.02 * i + n for i, n in enumerate(NOISE)], False),
    ],
)
def test_a_loss_that_may_be_below_zero_rises_when_it_leaves_where_it_was(losses, rises):
    assert told(losses).rises is rises


def test_a_loss_is_far_above_the_first_by_their_size():
    about_zero = [0.001, *NOISE[:15]]
    assert not told([*about_zero, 0.02, 0.05]).grew  # 50 times the very first
    assert told([*about_zero, 0.02, 0.5]).grew
    assert told([2.0, 2.1, 30.0]).grew
    assert not told([2.0, 2.1, 10.0]).grew


def test_who_has_come_far_within_the_first_losses_has_learned():
    known = told([1.0, 0.9, 0.8, 0.3, 0.1, *[0.0] * 75])
    assert known.first_loss == 0.9
    assert known.learns


def test_who_shot_up_and_came_back_down_has_not_learned():
    known = told([2.3, 500.0, 90.0, 5.0, *[2.3] * 76])
    assert known.first_loss == 2.3
    assert not known.learns
