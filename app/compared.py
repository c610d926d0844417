"""Several runs on the same axes: a quantity of each over its steps, and what they differ in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2s
from typing import Any

from layerscope.app.configs import MOST_SETTINGS, Setting, settings
from layerscope.app.encoding import json_bytes
from layerscope.app.errors import refused
from layerscope.app.recorded import Question
from layerscope.engine.diagnosis.finding import SEVERITIES
from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.series import OF_THE_RUN, QUANTITIES, histories, history
from layerscope.engine.store import Run, Store

__all__ = [
    "MOST_RUNS", "OFFERED", "At", "Compared", "Comparison", "FindingRow", "chosen_runs", "compare",
    "stands",
]  # fmt: skip

MOST_RUNS = 8
"""As many as can be told apart in one chart."""
OFFERED = tuple(name for name in QUANTITIES if name != "loss")
"""The quantities beside the loss, which is always shown."""
LETTERS = "ABCDEFGH"

Values = list[float | None]


@dataclass(frozen=True, slots=True)
class At:
    """The recorded step that is nearest to a chosen one."""

    step: int
    loss: float | None
    value: float | None


@dataclass(frozen=True, slots=True)
class Compared:
    """A run of so many modules as its letter. ``values``, None where it has no such module, and
    ``loss`` are by ``steps``; ``lost`` and ``faulty`` are the steps where the loss, and what was
    recorded of the module, is not finite."""

    letter: str
    run: Run
    modules: int
    steps: list[int]
    loss: Values
    lost: list[int]
    values: Values | None
    faulty: list[int]
    least: tuple[int, float] | None
    """The step of its least loss among these, and that loss."""
    at: At | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, but for losses that are not finite."""
        return {
            "letter": self.letter, "id": self.run.id, "name": self.run.name,
            "state": self.run.state, "modules": self.modules, "steps": self.steps,
            "loss": self.loss, "lost": self.lost, "values": self.values, "faulty": self.faulty,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class FindingRow:
    """A rule that found something, and what it found in each run."""

    rule: str
    found: tuple[list[dict[str, Any]], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything of it. ``modules``: the names in any of the runs, in forward order; ``module`` is
    None of a quantity that is the whole run's. ``left_out``: settings beside those told."""

    quantity: str
    module: str | None
    modules: Sequence[str]
    runs: Sequence[Compared]
    settings: Sequence[Setting]
    left_out: int
    findings: Sequence[FindingRow]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, but for what is not finite."""
        return {
            "quantity": self.quantity,
            "module": self.module,
            "modules": list(self.modules),
            "runs": [each.to_dict() for each in self.runs],
            "differs": {s.name: list(s.texts) for s in self.settings if s.differs},
            "same": {s.name: s.texts[0] for s in self.settings if not s.differs},
            "left_out": self.left_out,
            "findings": {row.rule: list(row.found) for row in self.findings},
        }


def chosen_runs(given: Sequence[str]) -> list[str]:
    """The ids of a query's ``run``, each once.

    Errors: ``Problem`` 422 for more than can be told apart.
    """
    ids = list(dict.fromkeys(text for text in given if text))
    if len(ids) > MOST_RUNS:
        raise refused("run", f"expected at most {MOST_RUNS} runs", len(ids))
    return ids


def stands(store: Store, ids: Sequence[str]) -> str:
    """A mark of where these runs stand: as long as it stays, there is nothing new of them. Cheap.

    Errors: of the store.
    """
    positions = json_bytes([store.position(each) for each in ids])
    return blake2s(positions, digest_size=16).hexdigest()


def compare(
    store: Store, ids: Sequence[str], module: str | None, wanted: Question, step: int | None = None
) -> Comparison:
    """These runs, lettered in this order; ``module`` by default the first that all of them have.

    Errors: of the store; ``Problem`` 422 for a module that none of the runs has.
    """
    runs = [store.run(each) for each in ids]
    facts = [store.facts(each) for each in ids]
    names = _in_order([[f.name for f in own] for own in facts])
    if module is None:
        shared = [name for name in names if all(_of(own, name) for own in facts)]
        module = next(iter(shared or names), None)
    elif module not in names:
        raise refused("module", "expected a module of one of these runs", module)
    rows = settings([run.config for run in runs])
    return Comparison(
        quantity=wanted.quantity,
        module=None if wanted.quantity in OF_THE_RUN else module,
        modules=names,
        runs=[
            _compared(store, letter, run, own, module, wanted, step)
            for letter, run, own in zip(LETTERS, runs, facts, strict=False)
        ],
        settings=rows[:MOST_SETTINGS],
        left_out=max(0, len(rows) - MOST_SETTINGS),
        findings=_rules([store.findings(each) for each in ids]),
    )


def _of(facts: Sequence[Facts], name: str | None) -> Facts | None:
    return next((f for f in facts if f.name == name), None)


def _in_order(lists: Sequence[Sequence[str]]) -> list[str]:
    """All names; those of the first in its order, then what the others have beside."""
    return list(dict.fromkeys(name for names in lists for name in names))


def _compared(
    store: Store, letter: str, run: Run, facts: Sequence[Facts], module: str | None,
    wanted: Question, step: int | None,
) -> Compared:  # fmt: skip
    chosen = _of(facts, module)
    known = [] if chosen is None else [chosen]
    steps = store.steps(run.id, wanted.start, wanted.stop, points=wanted.points)
    quantity, counts = histories((wanted.quantity, "nonfinite"), steps, known)
    losses = [
        (s.loss, s.number) for s in steps if s.loss is not None and math.isfinite(s.loss)
    ]  # fmt: skip
    least = min(losses, default=None)
    near = None if step is None else store.nearest(run.id, step)
    return Compared(
        letter=letter,
        run=run,
        modules=len(facts),
        steps=[s.number for s in steps],
        loss=[s.loss for s in steps],
        lost=[s.number for s in steps if s.loss is not None and not math.isfinite(s.loss)],
        values=next(iter(quantity.values), None),
        faulty=[s for row in counts.values for s, n in zip(counts.steps, row, strict=True) if n],
        least=None if least is None else (least[1], least[0]),
        at=None if near is None else At(
            near.number, near.loss,
            next((row[0] for row in history(wanted.quantity, [near], known).values), None),
        ),
    )  # fmt: skip


def _rules(lists: Sequence[Sequence[dict[str, Any]]]) -> list[FindingRow]:
    """The most severe first."""
    names = [str(name) for name in reversed(SEVERITIES)]
    everything = [finding for findings in lists for finding in findings]
    everything.sort(key=lambda f: [name != f.get("severity") for name in names])
    return [
        FindingRow(rule, tuple([f for f in own if str(f.get("rule", "")) == rule] for own in lists))
        for rule in dict.fromkeys(str(f.get("rule", "")) for f in everything)
    ]
