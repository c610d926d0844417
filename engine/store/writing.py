"""Entries into tables: in order, each once, a whole batch or nothing of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from layerscope.engine.store.entries import (
    Batch,
    Entry,
    Findings,
    Finish,
    Modules,
    Start,
    StepEntry,
    Summary,
    packed,
)  # fmt: skip
from layerscope.engine.store.errors import Gap
from layerscope.engine.store.plain import plain, text
from layerscope.engine.store.schema import FINDINGS, LOSS_IS_NAN, OTHER_NONFINITE, RUNS, STEPS

__all__ = ["append"]


def append(connection: Connection, run: str, batch: Batch, now: float) -> int:
    """Take what is new of ``batch``; the number of the run's last entry is returned.

    Args:
        run: the run's id; its first batch creates it.
        now: seconds since 1970 by the clock of who reads the store: its writer is alive.

    Errors: ``Gap`` where entries before the batch are missing.
    """
    row = _found(connection, run)
    if row is None:
        if batch.first != 1 or not batch.entries:
            raise Gap(0)
        _create(connection, run, batch.entries[0], now)
        row = _found(connection, run)
    if row is None or batch.first > row.sequence + 1:
        raise Gap(0 if row is None else row.sequence)
    fresh = batch.entries[row.sequence + 1 - batch.first :]
    changes: dict[str, Any] = {"heartbeat": now}
    if fresh:
        changes |= _taken(connection, row, fresh)
    connection.execute(update(RUNS).where(RUNS.c.key == row.key).values(changes))
    return int(changes.get("sequence", row.sequence))


def _found(connection: Connection, run: str) -> Row[Any, Any, Any] | None:
    columns = (RUNS.c.key, RUNS.c.sequence, RUNS.c.steps)
    return connection.execute(select(*columns).where(RUNS.c.id == run).with_for_update()).first()


def _create(connection: Connection, run: str, start: Entry, now: float) -> None:
    if not isinstance(start, Start):
        raise Gap(0)
    row = {
        "id": run, "name": text(start.name or run), "state": "running", "created": start.created,
        "heartbeat": now, "sequence": 0, "steps": 0, "last_nonfinite": 0,
        "config": packed(plain(start.config)), "modules_at": 0, "findings_at": 0,
    }  # fmt: skip
    connection.execute(insert(RUNS), row)


def _taken(
    connection: Connection, row: Row[Any, Any, Any], fresh: Sequence[Entry]
) -> dict[str, Any]:
    changes: dict[str, Any] = {"sequence": row.sequence + len(fresh)}
    steps = []
    for sequence, entry in enumerate(fresh, row.sequence + 1):
        if isinstance(entry, StepEntry):
            steps.append(_step(row.key, sequence, entry))
        else:
            changes |= _told(connection, row.key, sequence, entry)
    if steps:
        connection.execute(insert(STEPS), steps)
        last = steps[-1]
        changes |= {
            "steps": row.steps + len(steps), "last_number": last["number"],
            "last_loss": last["loss"], "last_nonfinite": last["nonfinite"],
        }  # fmt: skip
        # A run that goes on after its end is running again.
        changes.setdefault("state", "running")
    return changes


def _step(key: int, sequence: int, step: StepEntry) -> dict[str, Any]:
    loss = step.loss
    marks = OTHER_NONFINITE if step.nonfinite or loss in (math.inf, -math.inf) else 0
    if loss is not None and math.isnan(loss):
        marks, loss = marks | LOSS_IS_NAN, None
    return {
        "run": key, "sequence": sequence, "number": step.number, "time": step.time,
        "loss": loss, "nonfinite": marks, "payload": step.payload,
    }  # fmt: skip


def _told(connection: Connection, key: int, sequence: int, entry: Entry) -> dict[str, Any]:
    """What an entry other than a step changes in the run's row."""
    match entry:
        case Modules():
            return {"modules": packed(entry.facts), "modules_at": sequence}
        case Findings():
            _findings(connection, key, sequence, entry)
            return {"findings_at": sequence}
        case Summary():
            return {"summary": packed(plain(entry.summary))}
        case Finish():
            return {"state": entry.state}
        case _:
            return {}


def _findings(connection: Connection, key: int, sequence: int, entry: Findings) -> None:
    if entry.whole:
        connection.execute(delete(FINDINGS).where(FINDINGS.c.run == key))
    rows = [
        {"run": key, "sequence": sequence, "place": place, "severity": text(each.severity),
         "title": text(each.title), "finding": packed(plain(each.finding))}
        for place, each in enumerate(entry.findings)
    ]  # fmt: skip
    if rows:
        connection.execute(insert(FINDINGS), rows)
