"""Everything about each tensor of a checkpoint, and what narrower formats would lose of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import torch
from torch import Tensor

from layerscope.engine.analyses.precision.formats import FORMATS, Fit, fit
from layerscope.engine.statistics import Statistics, statistics
from layerscope.engine.store.checkpoints.base import StoredTensor, piece_entries
from layerscope.engine.store.checkpoints.rows import RowCounter, Rows

__all__ = ["NARROW", "TensorReport", "inspect_tensor", "totals"]

NARROW = ("float16", "bfloat16", "float8_e5m2", "float8_e4m3fn")
"""Formats that a checkpoint may be brought to."""


class TensorReport(msgspec.Struct, frozen=True):
    """What is known of one tensor. ``statistics`` is None where its entries were not read, and
    ``unread`` says why; integers are measured as float64, complex numbers by their two parts.
    ``fits``: what becomes of its nonzero entries in each of `NARROW`, floats alone."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    statistics: Statistics | None
    rows: Rows | None
    fits: dict[str, Fit]
    unread: str | None = None

    @property
    def concerns(self) -> list[str]:
        """What is wrong with it whatever it is for, a few words each."""
        s = self.statistics
        if s is None:
            return []
        found = []
        if s.nan:
            found.append(f"{s.nan} NaN")
        if s.posinf + s.neginf:
            found.append(f"{s.posinf + s.neginf} Inf")
        if self.rows and 0 < self.rows.dead < self.rows.count:
            found.append(f"{self.rows.dead} of {self.rows.count} rows are zero")
        if s.count > 1 and s.zeros == s.count and len(self.shape) > 1:
            found.append("all zero")
        if self.rows and self.rows.duplicated:
            found.append(f"{self.rows.duplicated} of {self.rows.count} rows are copies")
        return found

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "bytes": self.nbytes,
            "statistics": None if self.statistics is None else self.statistics.to_dict(),
            "rows": None if self.rows is None else msgspec.structs.asdict(self.rows),
            "formats": {name: each.to_dict() for name, each in self.fits.items()},
            "concerns": self.concerns,
            "unread": self.unread,
        }


def inspect_tensor(stored: StoredTensor) -> TensorReport:
    """Read one tensor, piece by piece, with no more than a few pieces in memory.

    Errors: ``CheckpointError``, ``OSError`` where the file can't be read after all.
    """
    about = stored.name, stored.dtype, stored.shape, stored.nbytes
    if stored.unread is not None:
        return TensorReport(*about, None, None, {}, stored.unread)
    dtype: torch.dtype = getattr(torch, stored.dtype)
    measured = statistics(torch.zeros(0, dtype=_measured_as(dtype)))
    whole_rows = piece_entries(stored.shape, dtype.itemsize)
    compared = (
        dtype.is_floating_point and stored.by_rows and RowCounter.takes(stored.shape, whole_rows)
    )
    rows = RowCounter(stored.shape) if compared else None
    first = True
    for piece in stored.pieces():
        part = statistics(_as_floats(piece))
        measured = part if first else Statistics.merge(measured, part)
        first = False
        if rows is not None:
            rows.add(piece)
    fits = {
        name: fit(measured.histogram, FORMATS[name]) for name in NARROW if dtype.is_floating_point
    }
    return TensorReport(*about, measured, None if rows is None else rows.result(), fits)


def totals(reports: Iterable[TensorReport]) -> dict[str, Any]:
    """A whole checkpoint in figures: entries, bytes, what is not finite, what each format loses."""
    found: dict[str, Any] = {
        "tensors": 0, "entries": 0, "bytes": 0, "nan": 0, "inf": 0, "dead_rows": 0,
        "duplicated_rows": 0, "unread": 0,
    }  # fmt: skip
    fits: dict[str, Fit] = {}
    for report in reports:
        found["tensors"] += 1
        found["bytes"] += report.nbytes
        s = report.statistics
        found["unread"] += s is None
        if s is not None:
            found["entries"] += s.count
            found["nan"] += s.nan
            found["inf"] += s.posinf + s.neginf
        if report.rows is not None:
            found["dead_rows"] += report.rows.dead
            found["duplicated_rows"] += report.rows.duplicated
        for name, each in report.fits.items():
            fits[name] = fits[name] + each if name in fits else each
    return {**found, "formats": {name: each.to_dict() for name, each in fits.items()}}


def _measured_as(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype.is_floating_point else torch.float64


def _as_floats(piece: Tensor) -> Tensor:
    if piece.dtype.is_complex:
        return torch.view_as_real(piece.resolve_conj()).reshape(-1)
    return piece if piece.dtype.is_floating_point else piece.to(torch.float64)
