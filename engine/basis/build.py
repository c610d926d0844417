"""Which engine this is: a digest of everything that its numbers depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import torch

__all__ = ["engine_build", "sources"]

ENGINE = Path(__file__).resolve().parent.parent


def sources(folder: Path, suffixes: Iterable[str] = (".py",)) -> bytes:
    """A digest of the names and texts of a folder's sources: a checkout changes without its
    version."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in suffixes):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.digest()


@cache
def engine_build() -> str:
    """Of the engine's sources and torch's version; the same wherever both are.

    >>> engine_build() == engine_build(), len(engine_build())
    (True, 64)
    """
    return hashlib.sha256(sources(ENGINE) + torch.__version__.encode()).hexdigest()
