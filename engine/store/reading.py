"""Out of the tables: runs newest first, one run, its steps, and what came since."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, Row, Select, and_, func, or_, select

from layerscope.engine.diagnosis.finding import SEVERITIES
from layerscope.engine.execution.records import Facts
from layerscope.engine.store.curves import Curve, Curves
from layerscope.engine.store.entries import AnyFacts, facts_of, unpacked
from layerscope.engine.store.sampling import kept
from layerscope.engine.store.schema import FINDINGS, LOSS_IS_NAN, RUNS, STEPS

__all__ = [
    "STALE_SECONDS", "Following", "Position", "Run", "Step", "expired", "facts", "findings",
    "follow", "key_of", "matching", "nearest", "one", "outline", "page", "position", "steps",
    "thinned",
]  # fmt: skip

STALE_SECONDS = 10.0
"""After so long without a sign of life a run that is not finished reads as stopped."""
SHORT = 2000
"""Entries of a run that is read as a whole for its outline, some milliseconds."""
AT_ONCE = 500
"""Rows asked for by their numbers in one statement."""


LISTED = [column for column in RUNS.c if column is not RUNS.c.modules]
"""What a list and a poll tell of a run: all but its modules, which may be megabytes."""


class Run(msgspec.Struct, frozen=True):
    """One run. Times are seconds since 1970; ``sequence`` is the number of its last entry, and so
    where to follow it from. ``verdict``: severity and title of its worst finding, None without."""

    id: str
    name: str
    state: str
    created: float
    updated: float
    steps: int
    last_step: int | None
    last_loss: float | None
    sequence: int
    config: dict[str, Any]
    summary: dict[str, Any]
    tags: list[str]
    verdict: dict[str, str] | None
    deleted: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """By name; floats as they are, NaN too."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


class Step(msgspec.Struct, frozen=True):
    """One step; ``payload`` is None where it was not asked for. ``nonfinite``: whether the loss or
    anything in the payload is."""

    sequence: int
    number: int
    time: float
    loss: float | None
    nonfinite: bool
    payload: bytes | None = None


Position = tuple[int, str, str]
"""Number of a run's last entry, its state, its name: as long as they stay, there is nothing new."""


class Following(msgspec.Struct, frozen=True):
    """What came after a cursor. ``modules`` and ``findings`` are whole, and None where they are as
    before; ``cursor`` is the one to ask with next; ``more``: there is more already."""

    run: Run
    modules: list[Facts] | None
    findings: list[dict[str, Any]] | None
    steps: list[Step]
    cursor: int
    more: bool


def page(
    connection: Connection, now: float, limit: int, before: tuple[float, str] | None
) -> list[Run]:
    """Runs that are not deleted, newest first, ``limit`` of them, from after ``before`` on."""
    query = select(*LISTED).where(RUNS.c.deleted.is_(None))
    if before is not None:
        created, run = before
        older = and_(RUNS.c.created == created, RUNS.c.id < run)
        query = query.where(or_(RUNS.c.created < created, older))
    query = query.order_by(RUNS.c.created.desc(), RUNS.c.id.desc()).limit(limit)
    return _runs(connection, query, now)


def one(connection: Connection, now: float, run: str) -> Run | None:
    """The run of this id, deleted or not."""
    return next(iter(_runs(connection, select(*LISTED).where(RUNS.c.id == run), now)), None)


def position(connection: Connection, now: float, run: str) -> Position | None:
    """Where the run of this id stands; None where there is none."""
    columns = RUNS.c.sequence, RUNS.c.state, RUNS.c.heartbeat, RUNS.c.name
    row = connection.execute(select(*columns).where(RUNS.c.id == run)).first()
    return None if row is None else (row.sequence, _state(row, now), row.name)


def expired(
    connection: Connection, now: float, seconds: float, run: str | None = None
) -> list[str]:
    """Runs that were deleted more than ``seconds`` ago, but for those that are still written; with
    ``run`` that one alone is asked about."""
    query = select(RUNS.c.id, RUNS.c.state, RUNS.c.heartbeat).where(RUNS.c.deleted < now - seconds)
    if run is not None:
        query = query.where(RUNS.c.id == run)
    return [row.id for row in connection.execute(query) if _state(row, now) != "running"]


def matching(connection: Connection, now: float, words: str) -> list[Run]:
    """Runs whose id is or begins with ``words``; or else those of this name, newest first."""
    live = select(*LISTED).where(RUNS.c.deleted.is_(None))
    live = live.order_by(RUNS.c.created.desc()).limit(20)
    for condition in (
        RUNS.c.id == words,
        RUNS.c.id.startswith(words, autoescape=True),
        RUNS.c.name == words,
    ):
        if found := _runs(connection, live.where(condition), now):
            return found
    return []


def _runs(connection: Connection, query: Select[Any], now: float) -> list[Run]:
    rows = connection.execute(query).all()
    verdicts = _verdicts(connection, [row.key for row in rows])
    return [_run(row, now, verdicts.get(row.key)) for row in rows]


def _run(row: Row[Any], now: float, verdict: dict[str, str] | None) -> Run:
    return Run(
        row.id, row.name, _state(row, now), row.created, row.heartbeat,
        row.steps, row.last_number, _loss(row.last_loss, row.last_nonfinite), row.sequence,
        unpacked(row.config) or {}, unpacked(row.summary) or {}, unpacked(row.tags) or [], verdict,
        row.deleted,
    )  # fmt: skip


def _state(row: Any, now: float) -> str:
    silent = row.state == "running" and now - row.heartbeat > STALE_SECONDS
    return "stopped" if silent else str(row.state)


def _loss(loss: float | None, marks: int) -> float | None:
    return math.nan if marks & LOSS_IS_NAN else loss


def _verdicts(connection: Connection, keys: Sequence[int]) -> dict[int, dict[str, str]]:
    columns = FINDINGS.c.run, FINDINGS.c.severity, FINDINGS.c.title
    query = select(*columns).where(FINDINGS.c.run.in_(keys))
    found: dict[int, dict[str, str]] = {}
    for key, severity, title in connection.execute(
        query.order_by(FINDINGS.c.sequence, FINDINGS.c.place)
    ):
        if key not in found or _rank(severity) > _rank(found[key]["severity"]):
            found[key] = {"severity": severity, "title": title}
    return found


def _rank(severity: str) -> int:
    known: tuple[str, ...] = SEVERITIES
    return known.index(severity) if severity in known else -1


def key_of(connection: Connection, run: str) -> int | None:
    """The row of a run."""
    return connection.scalar(select(RUNS.c.key).where(RUNS.c.id == run))


def facts(connection: Connection, key: int, kind: type[AnyFacts]) -> list[AnyFacts]:
    """Of every module, in forward order."""
    return facts_of(connection.scalar(select(RUNS.c.modules).where(RUNS.c.key == key)), kind)


def findings(connection: Connection, key: int) -> list[dict[str, Any]]:
    """As they were told, the most severe first."""
    columns = FINDINGS.c.severity, FINDINGS.c.finding
    query = select(*columns).where(FINDINGS.c.run == key)
    rows = connection.execute(query.order_by(FINDINGS.c.sequence, FINDINGS.c.place)).all()
    return [unpacked(row.finding) for row in sorted(rows, key=lambda row: -_rank(row.severity))]


def steps(
    connection: Connection,
    key: int,
    start: int | None,
    stop: int | None,
    *,
    payload: bool,
) -> list[Step]:
    """Steps with ``start`` <= number < ``stop``, by number."""
    within = [STEPS.c.run == key]
    if start is not None:
        within.append(STEPS.c.number >= start)
    if stop is not None:
        within.append(STEPS.c.number < stop)
    query = select(*_columns(payload=payload)).where(*within)
    return _steps(connection.execute(query.order_by(STEPS.c.number, STEPS.c.sequence)))


def thinned(
    connection: Connection, key: int, curve: Curve, points: int, *, payload: bool
) -> list[Step]:
    """Of the steps of a curve ``points`` at most, as by `kept`, by number."""
    if not len(curve.numbers):
        return []
    chosen = curve.sequences[kept(curve.numbers, curve.losses, curve.marks != 0, points)]
    return _numbered(connection, key, chosen.tolist(), payload=payload)


def nearest(connection: Connection, key: int, number: int) -> Step | None:
    """The step with a payload whose number is nearest to ``number``, of two as near the earlier;
    where none has one, of all steps; None without."""
    told = _nearest(connection, key, number, func.length(STEPS.c.payload) > 0)
    return told or _nearest(connection, key, number)


def _nearest(connection: Connection, key: int, number: int, *which: Any) -> Step | None:
    found: list[Step] = []
    for within, by in (
        (STEPS.c.number <= number, (STEPS.c.number.desc(), STEPS.c.sequence.desc())),
        (STEPS.c.number > number, (STEPS.c.number, STEPS.c.sequence.desc())),
    ):
        query = select(*_columns(payload=True)).where(STEPS.c.run == key, within, *which)
        found += _steps(connection.execute(query.order_by(*by).limit(1)))
    return min(found, key=lambda step: abs(step.number - number), default=None)


def outline(connection: Connection, run: str, points: int, curves: Curves) -> list[Step]:
    """About ``points`` steps from beginning to end without their payloads: as by `thinned` where
    the run is short, else at entries evenly apart, so that no run takes longer than another."""
    row = connection.execute(select(RUNS.c.key, RUNS.c.sequence).where(RUNS.c.id == run)).first()
    if row is None:
        return []
    if row.sequence <= SHORT:
        curve = curves.of(connection, row.key)
        return thinned(connection, row.key, curve, points, payload=False)
    chosen = np.linspace(1, row.sequence, points).astype(np.int64)
    return _numbered(connection, row.key, chosen.tolist(), payload=False)


def _numbered(
    connection: Connection, key: int, sequences: Sequence[int], *, payload: bool
) -> list[Step]:
    found: list[Step] = []
    for begin in range(0, len(sequences), AT_ONCE):
        some = sequences[begin : begin + AT_ONCE]
        query = select(*_columns(payload=payload)).where(
            STEPS.c.run == key, STEPS.c.sequence.in_(some)
        )
        found += _steps(connection.execute(query.order_by(STEPS.c.number, STEPS.c.sequence)))
    return found


def _columns(*, payload: bool) -> list[Any]:
    columns = [STEPS.c.sequence, STEPS.c.number, STEPS.c.time, STEPS.c.loss, STEPS.c.nonfinite]
    return [*columns, STEPS.c.payload] if payload else columns


def _steps(rows: Iterable[Any]) -> list[Step]:
    return [
        Step(sequence, number, time, _loss(loss, marks), marks != 0, *payload)
        for sequence, number, time, loss, marks, *payload in rows
    ]


def follow(
    connection: Connection, now: float, run: str, after: int, limit: int, *, payload: bool
) -> Following | None:
    """What came after entry ``after``, ``limit`` steps at most; None where there is no such run."""
    row = connection.execute(select(*LISTED).where(RUNS.c.id == run)).first()
    if row is None:
        return None
    within = STEPS.c.run == row.key, STEPS.c.sequence > after, STEPS.c.sequence <= row.sequence
    query = select(*_columns(payload=payload)).where(*within).order_by(STEPS.c.sequence)
    came = _steps(connection.execute(query.limit(limit + 1)))
    more = len(came) > limit
    came = came[:limit]
    cursor = came[-1].sequence if more else max(after, row.sequence)
    told = {name: after < getattr(row, f"{name}_at") <= cursor for name in ("modules", "findings")}
    return Following(
        run=_run(row, now, _verdicts(connection, [row.key]).get(row.key)),
        modules=facts(connection, row.key, Facts) if told["modules"] else None,
        findings=findings(connection, row.key) if told["findings"] else None,
        steps=came,
        cursor=cursor,
        more=more,
    )
