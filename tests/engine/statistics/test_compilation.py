"""The kernels work wherever the package is installed, and stay responsive while they run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import layerscope.engine
from layerscope.engine.statistics import compilation

PROGRAM = """
import torch
from layerscope.engine.statistics import statistics
print(statistics(torch.tensor([1.0, 2.0])).mean)
"""


def run(program: str, folder: Path, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        check=True,
        capture_output=True,
        text=True,
        timeout=200,
    ).stdout.strip()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The engine's source, elsewhere and without a cache."""
    source = Path(layerscope.engine.__file__).parent
    target = tmp_path / "layerscope" / "engine"
    for room in ("basis", "statistics"):
        shutil.copytree(source / room, target / room, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (target, target.parent):
        (folder / "__init__.py").touch()
    return tmp_path


def test_the_cache_goes_where_the_environment_says(copy: Path) -> None:
    cache = copy / "cache"
    assert run(PROGRAM, copy, NUMBA_CACHE_DIR=str(cache)) == "1.5"
    stored = {path.name for path in cache.rglob("*chunk32*.nbc")}
    assert stored
    assert run(PROGRAM, copy, NUMBA_CACHE_DIR=str(cache)) == "1.5"
    assert {path.name for path in cache.rglob("*chunk32*.nbc")} == stored
    assert not list(copy.rglob("__pycache__"))


def test_without_anywhere_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    compile_ = numba.njit

    def nowhere(*functions: object, cache: bool = False, **options: object) -> object:
        if cache:
            raise RuntimeError("cannot cache function 'add': no locator available")
        return compile_(*functions, **options)

    monkeypatch.setattr(numba, "njit", nowhere)

    def add(a: int, b: int) -> int:
        return a + b

    assert compilation.kernel(add)(2, 3) == 5


def test_infinities_survive_reordering() -> None:
    """The flags that let sums be reordered must not let NaN be assumed away."""

    def total(x: np.ndarray) -> float:
        s = 0.0
        for i in range(x.size):
            s += x[i] if x[i] < np.inf else 0.0
        return s

    assert compilation.fast_kernel(total)(np.array([1.0, np.nan, np.inf, 2.0])) == 3.0
    assert not {"nnan", "ninf", "fast"} & compilation.REORDER


def test_the_interpreter_lock_is_released() -> None:
    from layerscope.engine.statistics import activity, columns, kernel

    entries = [kernel.chunk32, kernel.chunk64, kernel.finish32, kernel.finish64]
    entries += [activity._units32, activity._units64, columns._project32, columns._count32]
    assert all(entry.targetoptions["nogil"] for entry in entries)


FORK = """
import os, torch
from layerscope.engine.statistics import reading, statistics
x = torch.ones(reading.LARGE)
x[-1] = 3.0
torch.set_num_threads(2)
before = statistics(x)
assert reading._helpers is not None
child = os.fork()
if not child:
    assert reading._helpers is None
    os._exit(0 if statistics(x) == before else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), before.max)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_process_has_helpers_of_its_own() -> None:
    """A child inherits the pool but none of its threads: waiting for those would never end."""
    assert run(FORK, Path(layerscope.engine.__file__).parents[1]) == "0 3.0"
