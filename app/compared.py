"""Several runs on the same axes: a quantity of each over its steps, and what they differ in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layerscope.app.encoding import json_text
from layerscope.app.errors import refused
from layerscope.app.recorded import Question
from layerscope.engine.diagnosis.finding import SEVERITIES
from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.series import QUANTITIES, history
from layerscope.engine.store import Run, Store
from layerscope.engine.store import Step as StoredStep

__all__ = [
    "MOST_RUNS", "OFFERED", "Compared", "Comparison", "FindingRow", "Setting", "chosen_runs",
    "compare",
]  # fmt: skip

MOST_RUNS = 8
"""As many as can be told apart in one chart."""
OFFERED = tuple(name for name in QUANTITIES if name != "loss")
"""The quantities beside the loss, which is always shown."""
LETTERS = "ABCDEFGH"
MOST_SETTINGS = 200
MOST_TEXT = 120
DEEPEST = 8
"""Levels of a configuration that are settings of their own."""

Values = list[float | None]


@dataclass(frozen=True, slots=True)
class Compared:
    """A run as its letter. ``values``, None where it has no such module, and ``loss`` are by
    ``steps``; ``lost`` and ``faulty`` are the steps where the loss, and what was recorded of the
    module, is not finite."""

    letter: str
    run: Run
    steps: list[int]
    loss: Values
    lost: list[int]
    values: Values | None
    faulty: list[int]
    least: tuple[int, float] | None
    """The step of its least loss among these, and that loss."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, but for losses that are not finite."""
        return {
            "letter": self.letter, "id": self.run.id, "name": self.run.name,
            "state": self.run.state, "steps": self.steps, "loss": self.loss, "lost": self.lost,
            "values": self.values, "faulty": self.faulty,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting by its path in the configuration, with each run's text for it; None: not set."""

    name: str
    texts: tuple[str | None, ...]
    differs: bool


@dataclass(frozen=True, slots=True)
class FindingRow:
    """A rule that found something, and what it found in each run."""

    rule: str
    found: tuple[list[dict[str, Any]], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything of it. ``modules``: the names in any of the runs, in forward order."""

    quantity: str
    module: str | None
    modules: Sequence[str]
    runs: Sequence[Compared]
    settings: Sequence[Setting]
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


def compare(store: Store, ids: Sequence[str], module: str | None, wanted: Question) -> Comparison:
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
    own_configs = [
        {**dict(_leaves(run.config)), "modules": str(len(own))}
        for run, own in zip(runs, facts, strict=True)
    ]
    return Comparison(
        quantity=wanted.quantity,
        module=module,
        modules=names,
        runs=[
            _compared(letter, run, _of(own, module), _steps(store, run.id, wanted), wanted.quantity)
            for letter, run, own in zip(LETTERS, runs, facts, strict=False)
        ],
        settings=_settings(own_configs),
        findings=_rules([store.findings(each) for each in ids]),
    )


def _steps(store: Store, run: str, wanted: Question) -> list[StoredStep]:
    return store.steps(run, wanted.start, wanted.stop, points=wanted.points)


def _of(facts: Sequence[Facts], name: str | None) -> Facts | None:
    return next((f for f in facts if f.name == name), None)


def _in_order(lists: Sequence[Sequence[str]]) -> list[str]:
    """All names; those of the first in its order, then what the others have beside."""
    return list(dict.fromkeys(name for names in lists for name in names))


def _compared(
    letter: str, run: Run, facts: Facts | None, steps: Sequence[StoredStep], quantity: str
) -> Compared:
    known = [] if facts is None else [facts]
    rows = history(quantity, steps, known).values
    counts = history("nonfinite", steps, known).values
    losses = [
        (s.loss, s.number) for s in steps if s.loss is not None and math.isfinite(s.loss)
    ]  # fmt: skip
    least = min(losses, default=None)
    return Compared(
        letter=letter,
        run=run,
        steps=[s.number for s in steps],
        loss=[s.loss for s in steps],
        lost=[s.number for s in steps if s.loss is not None and not math.isfinite(s.loss)],
        values=rows[0] if rows else None,
        faulty=[
            s.number for s, n in zip(steps, counts[0], strict=True) if n
        ] if counts else [],
        least=None if least is None else (least[1], least[0]),
    )  # fmt: skip


def _leaves(config: Mapping[str, Any], path: str = "", depth: int = 1) -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        where = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping) and value and depth < DEEPEST:
            yield from _leaves(value, where, depth + 1)
        else:
            yield where, _text(value)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json_text(value)
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"


def _settings(configs: Sequence[Mapping[str, str]]) -> list[Setting]:
    """Those that differ first."""
    names = _in_order([list(config) for config in configs])
    rows = [tuple(config.get(name) for config in configs) for name in names]
    found = [Setting(n, row, len(set(row)) > 1) for n, row in zip(names, rows, strict=True)]
    return sorted(found, key=lambda setting: not setting.differs)[:MOST_SETTINGS]


def _rules(lists: Sequence[Sequence[dict[str, Any]]]) -> list[FindingRow]:
    """The most severe first."""
    names = [str(name) for name in reversed(SEVERITIES)]
    everything = [finding for findings in lists for finding in findings]
    everything.sort(key=lambda f: [name != f.get("severity") for name in names])
    return [
        FindingRow(rule, tuple([f for f in own if str(f.get("rule", "")) == rule] for own in lists))
        for rule in dict.fromkeys(str(f.get("rule", "")) for f in everything)
    ]
