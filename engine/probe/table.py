"""A stored run as a table, a row a step and module; as comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.series import SERIES, column, outlined
from layerscope.engine.store import Store

__all__ = ["HEADER", "lines", "rows"]

HEADER = ("step", "time", "loss", "module", *SERIES)

ROWS = 2000
"""Of a piece, about: as many steps are read at once as give that, of a run of many modules one."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def rows(store: Store, run: str, facts: Sequence[Facts]) -> Iterator[list[list[Any]]]:
    """The table in pieces, each some rows of what `HEADER` names; None where there is no figure.
    What a piece takes does not grow with the run, and the first is there before the rest is read.

    Errors: of the store.
    """
    cursor, more = 0, True
    at_once = max(1, ROWS // max(1, len(facts)))
    while more:
        came = store.follow(run, cursor, limit=at_once)
        cursor, more = came.cursor, came.more
        part: list[list[Any]] = []
        for stored in came.steps:
            step = outlined(stored)
            columns = [column(name, step, facts) for name in SERIES]
            head = [stored.number, stored.time, stored.loss]
            for each, row in zip(facts, zip(*columns, strict=True), strict=True):
                part.append([*head, each.name, *row])
        yield part


def lines(store: Store, run: str, facts: Sequence[Facts]) -> Iterator[str]:
    """The table as text, in pieces, its header first; figures with all their digits, empty where
    there is none. Text that a spreadsheet would compute is quoted.

    Errors: of the store.
    """
    yield _csv([HEADER])
    for part in rows(store, run, facts):
        yield _csv(part)


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_cell(v) for v in row] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value
