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
