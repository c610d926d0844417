"""Servers of runs: by default one for each test, without any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def site(serve: Any, tmp_path: Path) -> Iterator[str]:
    """A server without any run."""
    with serve(data_dir=tmp_path, warm_up=False) as running:
        yield running.url


@pytest.fixture
def url(site: str) -> str:
    return site


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where its runs are."""
    return tmp_path / "runs.db"
