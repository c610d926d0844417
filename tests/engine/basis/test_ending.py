from __future__ import annotations

import pytest

from layerscope.engine.basis.ending import STATES, state_after


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, "finished"),
        (KeyboardInterrupt(), "stopped"),
        (SystemExit(1), "stopped"),
        (ZeroDivisionError(), "failed"),
        (GeneratorExit(), "failed"),
    ],
)
def test_the_state_is_that_of_what_ended_the_block(error, state):
    assert state_after(error) == state
    assert state in STATES
