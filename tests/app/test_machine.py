"""Cores and memory, from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerscope.app import machine
from layerscope.app.machine import usable_bytes, usable_cores

MEMORY = "MemTotal:       16000000 kB\nMemFree:  1 kB\nMemAvailable:    8000000 kB\n"
GROUP = "system.slice/layerscope.service"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "available_cores", lambda: 8)
    written(tmp_path, "proc/meminfo", MEMORY)
    return tmp_path


def written(root: Path, name: str, text: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_without_cgroups_it_is_affinity_and_what_is_available(root: Path) -> None:
    assert usable_cores(root) == 8
    assert usable_bytes(root) == 8_000_000 * 1024


def test_where_nothing_is_known_nothing_is_made_up(tmp_path: Path) -> None:
    assert usable_bytes(tmp_path) is None
    assert usable_cores(tmp_path) >= 1


@pytest.mark.parametrize("where", ["", "system.slice/", GROUP + "/"])
def test_any_group_of_the_second_version_limits(root: Path, where: str) -> None:
    written(root, "proc/self/cgroup", f"0::/{GROUP}\n")
    for each in ("", "system.slice/", GROUP + "/"):
        written(root, f"sys/fs/cgroup/{each}memory.max", "max\n")
        written(root, f"sys/fs/cgroup/{each}cpu.max", "max 100000\n")
    written(root, f"sys/fs/cgroup/{where}memory.max", "1073741824\n")
    written(root, f"sys/fs/cgroup/{where}cpu.max", "250000 100000\n")
    assert usable_bytes(root) == 2**30
    assert usable_cores(root) == 3


def test_a_limit_beyond_what_is_available_changes_nothing(root: Path) -> None:
    written(root, "proc/self/cgroup", "0::/\n")
    written(root, "sys/fs/cgroup/memory.max", str(2**40))
    written(root, "sys/fs/cgroup/cpu.max", "6400000 100000\n")
    assert usable_bytes(root) == 8_000_000 * 1024
    assert usable_cores(root) == 8


@pytest.mark.parametrize(("mounted", "quota", "cores"), [
    ("cpu,cpuacct", "50000", 1), ("cpu", "400000", 4), ("cpu", "-1", 8),
])  # fmt: skip
def test_the_first_version_limits_too(root: Path, mounted: str, quota: str, cores: int) -> None:
    written(root, "proc/self/cgroup", "5:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n1:name=x:/\n")
    written(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
    written(root, "sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes", "536870912")
    written(root, f"sys/fs/cgroup/{mounted}/docker/ab/cpu.cfs_quota_us", quota)
    written(root, f"sys/fs/cgroup/{mounted}/docker/ab/cpu.cfs_period_us", "100000")
    assert usable_bytes(root) == 2**29
    assert usable_cores(root) == cores


def test_a_container_sees_its_own_group_as_the_root(root: Path) -> None:
    written(root, "proc/self/cgroup", "5:memory:/docker/ab\n")
    written(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912")
    assert usable_bytes(root) == 2**29
