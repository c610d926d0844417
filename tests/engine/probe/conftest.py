from __future__ import annotations

import pytest

from tests.watching import hooks


@pytest.fixture
def no_hook_is_left():
    before = hooks()
    yield
    assert hooks() == before
