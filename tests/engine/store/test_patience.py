"""Patience: a store that is busy is asked again, some times; whatever else it says is told."""

from __future__ import annotations

import pytest

from layerscope.engine.store.errors import StoreError, Unavailable
from layerscope.engine.store.patience import RETRY_SECONDS, TRIES, patiently


class Busy:
    """Refuses so often, and then takes what it is given."""

    def __init__(self, times, error=Unavailable):
        self.left, self.error, self.asked = times, error, 0

    def __call__(self):
        self.asked += 1
        if self.left:
            self.left -= 1
            raise self.error("locked")


@pytest.mark.parametrize("times", [0, 1, TRIES - 1])
def test_it_is_asked_again(times):
    busy, waits = Busy(times), []
    patiently(busy, waits.append)
    assert (busy.asked, waits) == (times + 1, [RETRY_SECONDS] * times)


def test_not_for_ever():
    busy = Busy(TRIES)
    with pytest.raises(Unavailable):
        patiently(busy, lambda _: None)
    assert busy.asked == TRIES


def test_what_would_not_pass_is_told_at_once():
    busy = Busy(1, StoreError)
    with pytest.raises(StoreError, match="locked"):
        patiently(busy, lambda _: pytest.fail("it waits"))
    assert busy.asked == 1
