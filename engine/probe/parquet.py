"""A stored run as a Parquet file: the table of `layerscope.engine.probe.table`, typed."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.series import SERIES
from layerscope.engine.probe.table import HEADER, rows
from layerscope.engine.store import Store

__all__ = ["MISSING", "available", "pieces"]

MISSING = 'Parquet needs pyarrow, which is not installed: pip install "layerscope[parquet]"'

GROUP = 50_000
"""Rows of a row group, at least."""


def available() -> bool:
    """Whether `write` can be used."""
    return importlib.util.find_spec("pyarrow") is not None


def pieces(store: Store, run: str, facts: Sequence[Facts]) -> Iterator[bytes]:
    """The file in pieces, as they are written: a run may be larger than the memory. ``step`` is
    int64, ``module`` a dictionary of texts, everything else float64; null where nothing was
    recorded, NaN where that was the figure.

    Errors: ``ImportError`` where `available` says no; of the store.
    """
    import pyarrow as pa
    from pyarrow import parquet

    module = pa.dictionary(pa.int32(), pa.string())
    types = {"step": pa.int64(), "module": module, **dict.fromkeys(SERIES, pa.float64())}
    schema = pa.schema([(name, types.get(name, pa.float64())) for name in HEADER])
    written = _Written()
    with parquet.ParquetWriter(written, schema) as writer:
        yield written.taken()
        for group in _groups(rows(store, run, facts)):
            across = zip(*group, strict=True)
            arrays = [pa.array(c, f.type) for c, f in zip(across, schema, strict=True)]
            writer.write_table(pa.table(arrays, schema=schema))
            yield written.taken()
    yield written.taken()


def _groups(parts: Iterable[list[list[Any]]]) -> Iterator[list[list[Any]]]:
    """Rows together that make a row group worth its own description."""
    group: list[list[Any]] = []
    for part in parts:
        group += part
        if len(group) >= GROUP:
            yield group
            group = []
    if group:
        yield group


class _Written(io.RawIOBase):
    """What was written since it was taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        self._bytes += len(self._pieces[-1])
        return len(self._pieces[-1])

    def tell(self) -> int:
        return self._bytes

    def taken(self) -> bytes:
        found = b"".join(self._pieces)
        self._pieces.clear()
        return found
