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


@pytest.mark.slow
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


# A disk that is full refuses what is written; one that was full has left half a file.
DISKS = {
    "full": """
import errno
from numba.core.caching import IndexDataCacheFile
def refused(*_):
    raise OSError(errno.ENOSPC, "No space left on device")
IndexDataCacheFile._save_data = refused
""",
    "damaged": """
from pathlib import Path
for index in Path("cache").rglob("*double*.nbi"):
    index.write_bytes(index.read_bytes()[:20])
""",
    "read-only": """
import errno, tempfile
from pathlib import Path
from numba.core.caching import IndexDataCacheFile
def refused(*_, **__):
    raise OSError(errno.EROFS, "Read-only file system")
tempfile.TemporaryFile = IndexDataCacheFile.save = refused
""",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("disk", "filled", "told"),
    [
        ("", False, "new kept 0"),
        ("", True, "kept kept 1"),
        ("full", False, "new kept 0"),
        ("damaged", True, "new kept 0"),
        ("read-only", True, "kept kept 1"),
        ("read-only", False, "nowhere nowhere 0"),
    ],
)
def test_a_kernel_works_on_any_disk(
    interpreter: Interpreter, tmp_path: Path, disk: str, filled: bool, told: str
) -> None:
    (tmp_path / "small.py").write_text(KERNEL)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": "cache"}
    program = DISKS.get(disk, "") + (
        "from layerscope.engine.statistics.machine_code import kept\n"
        "from small import double\n"
        "first = kept([double])[0]\n"
        "assert double(2.0) == 4.0\n"
        "print(first, kept([double])[0], sum(double.stats.cache_hits.values()))\n"
    )
    if filled:
        interpreter.run("-c", PROGRAM, cwd=tmp_path, env=environment)
    done = interpreter.run("-c", program, cwd=tmp_path, env=environment)
    assert (done.stdout.strip(), done.stderr) == (told, "")


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
