"""The kernels work wherever the package is installed, and stay responsive while they run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from layerscope.engine.statistics import compilation, kernel, statistics
from layerscope.engine.statistics.reading import LARGE
from tests.interpreter import Interpreter

KERNEL = """
from layerscope.engine.statistics.compilation import kernel

@kernel
def double(x):
    return 2 * x
"""
PROGRAM = "from small import double; print(double(2.0))"


def test_the_cache_goes_where_the_environment_says(
    interpreter: Interpreter, tmp_path: Path
) -> None:
    (tmp_path / "small.py").write_text(KERNEL)
    cache = tmp_path / "cache"

    def run() -> dict[str, int]:
        environment = {"PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(cache)}
        done = interpreter.run("-W", "error::RuntimeWarning", "-c", PROGRAM, cwd=tmp_path,
                               env={**os.environ, **environment})  # fmt: skip
        assert (done.stdout, done.stderr) == ("4.0\n", "")
        return {path.name: path.stat().st_mtime_ns for path in cache.rglob("*double*.nb*")}

    stored = run()
    assert len(stored) == 2, "an index and the machine code"
    assert run() == stored
    assert not list(tmp_path.rglob("__pycache__"))


@pytest.mark.parametrize("name", ["chunk32", "chunk64", "finish32", "finish64"])
def test_every_kernel_is_cached(name: str) -> None:
    """Not so where it refers to an address, or to an array of the module's."""
    dtype = torch.float32 if name.endswith("32") else torch.float64
    statistics(torch.ones(LARGE, dtype=dtype))  # a smaller one enters all of them at once
    entry = getattr(kernel, name)
    assert entry.signatures
    assert Path(entry.stats.cache_path).is_dir()
    assert list(Path(entry.stats.cache_path).glob(f"kernel.{name}-*.nbc"))


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
    from layerscope.engine.statistics import activity, columns

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
def test_a_forked_process_has_helpers_of_its_own(interpreter: Interpreter) -> None:
    """A child inherits the pool but none of its threads: waiting for those would never end."""
    done = interpreter.run("-c", FORK)
    assert done.stdout.split() == ["0", "3.0"], done.stderr
