"""Machine code for copies of the engine: compiling it anew takes half a minute each."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from layerscope.engine.statistics import warm_up


def carry_kernels(source: Path, copy: Path) -> None:
    """Give every unchanged file of ``copy``/engine the machine code that ``source``'s has.

    Numba asks for a file of the same size and the same time.
    """
    warm_up()
    for cache in (source / "engine").rglob("__pycache__"):
        for index in cache.glob("*.nb[ci]"):
            original = cache.parent / f"{index.name.partition('.')[0]}.py"
            there = copy / original.relative_to(source)
            if there.exists() and there.read_bytes() == original.read_bytes():
                time = original.stat().st_mtime_ns
                os.utime(there, ns=(time, time))
                (there.parent / "__pycache__").mkdir(exist_ok=True)
                shutil.copy2(index, there.parent / "__pycache__")
