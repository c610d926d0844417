"""Servers of runs: by default one for each test, without any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import RunningServer


@pytest.fixture
def asked_server(serve: Any, tmp_path: Path) -> Iterator[RunningServer]:
    """A server without any run."""
    with serve(data_dir=tmp_path, warm_up=False) as running:
        yield running


@pytest.fixture
def site(url: str) -> str:
    return url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where its runs are."""
    return tmp_path / "runs.db"
