"""Which engine this is: a digest of its sources and of the libraries that it computes with.

The last bits of a number also depend on the processor, which no digest of ours can know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

__all__ = ["LIBRARIES", "engine_build", "sources"]

LIBRARIES = ("torch", "numpy", "numba", "scipy", "scikit-learn")
"""Of other versions of these an engine's numbers may be others."""
ENGINE = Path(__file__).resolve().parent.parent


def sources(folder: Path, suffixes: Iterable[str] = (".py",)) -> bytes:
    """A digest of the names and texts of a folder's sources."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in suffixes):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.digest()


@cache
def engine_build() -> str:
    """Of the engine's sources and its libraries' versions; the same wherever those are.

    >>> engine_build() == engine_build(), len(engine_build())
    (True, 64)
    """
    versions = " ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return hashlib.sha256(sources(ENGINE) + versions.encode()).hexdigest()
