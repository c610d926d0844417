"""A stored run as a Parquet file: the table of `layerscope.engine.probe.table`, typed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import IO

from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.series import SERIES
from layerscope.engine.probe.table import HEADER, rows
from layerscope.engine.store import Store

__all__ = ["MISSING", "available", "write"]

MISSING = 'Parquet needs pyarrow, which is not installed: pip install "layerscope[parquet]"'


def available() -> bool:
    """Whether `write` can be used."""
    return importlib.util.find_spec("pyarrow") is not None


def write(store: Store, run: str, facts: Sequence[Facts], to: IO[bytes]) -> None:
    """All of the run into ``to``, a row group for each piece that is read at once. ``step`` is
    int64, ``module`` a dictionary of texts, everything else float64; null where nothing was
    recorded, NaN where that was the figure.

    Errors: ``ImportError`` where `available` says no; of the store.
    """
    import pyarrow as pa
    from pyarrow import parquet

    module = pa.dictionary(pa.int32(), pa.string())
    types = {"step": pa.int64(), "module": module, **dict.fromkeys(SERIES, pa.float64())}
    schema = pa.schema([(name, types.get(name, pa.float64())) for name in HEADER])
    with parquet.ParquetWriter(to, schema) as writer:
        for part in rows(store, run, facts):
            across = zip(*part, strict=True)
            arrays = [pa.array(c, f.type) for c, f in zip(across, schema, strict=False)]
            if arrays:
                writer.write_table(pa.table(arrays, schema=schema))
