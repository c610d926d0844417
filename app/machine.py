"""What of the machine this process may really use: cores by affinity and quota, memory by limit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

from layerscope.engine.basis.cores import available_cores

__all__ = ["usable_bytes", "usable_cores"]

UNLIMITED = 2**60
"""What the first version of cgroups says for no limit is this and more."""


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may run on, no more than its cgroups' quota; at least 1.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    cores = float(available_cores())
    for folder in _folders(root, "cpu"):
        quota, period = _words(folder / "cpu.max") or (
            *_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us"),
        ) or ("max", "")  # fmt: skip
        if quota.isdigit() and period.isdigit() and int(period):
            cores = min(cores, int(quota) / int(period))
    return max(1, math.ceil(cores))


def usable_bytes(root: Path = Path("/")) -> int | None:
    """Memory that is available now, no more than any of its cgroups allows; None where unknown.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    known = []
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    if found:
        known.append(1024 * int(found[1]))
    for folder in _folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            (limit,) = _words(folder / name) or ("max",)
            if limit.isdigit() and int(limit) < UNLIMITED:
                known.append(int(limit))
    return min(known, default=None)


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """Where a controller's limits stand, of both versions of cgroups: the process's own group and
    every one above it, of which a container may see the last alone."""
    mounted = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        place = mounted / names if names else mounted
        if names and not place.is_dir():  # mounted by its own name, without its companions'
            place = mounted / controller
        yield place
        for part in [p for p in path.split("/") if p not in ("", "..")]:
            place = place / part
            yield place


def _words(file: Path) -> tuple[str, ...]:
    return tuple(_text(file).split())


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
