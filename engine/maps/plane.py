"""What a map computes: two axes, everything else from one experiment, an outcome, seeds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from layerscope.engine.basis.build import engine_build
from layerscope.engine.basis.refusals import InvalidParameters, field_error, refusal
from layerscope.engine.basis.specification import Specification
from layerscope.engine.experiment import Experiment
from layerscope.engine.experiment.specification import MAX_SEED
from layerscope.engine.maps.axes import Axis, owner
from layerscope.engine.maps.outcomes import OUTCOMES, Outcome
from layerscope.engine.training import Training

__all__ = ["MOST_SEEDS", "Plane", "Sample", "coarse_to_fine"]

MOST_SEEDS = 100


@dataclass(frozen=True, slots=True)
class Sample:
    """One experiment of a map: the whole of what determines its reading, and its ``place``."""

    place: int
    experiment: Experiment
    training: Training | None
    outcome: str

    @property
    def key(self) -> str:
        """Of its reading, wherever it is kept: the same specification and engine, the same key."""
        return _digest([engine_build(), *self.parts()])

    def parts(self) -> list[Any]:
        """What it is made of, as JSON has it."""
        training = None if self.training is None else self.training.to_dict()
        return [self.experiment.to_dict(), training, self.outcome]


@dataclass(frozen=True)
class Plane:
    """The specification of a map.

    Errors: `InvalidParameters` naming what does not fit together.

    >>> axes = Axis.between("init_scale", 0.5, 2, 3, "log"), Axis.of("activation", ["relu", "tanh"])
    >>> plane = Plane(*axes, Experiment(depth=4))
    >>> plane.shape, plane.experiment(1, 2).init_scale, plane.experiment(1, 2).activation
    ((2, 3), 2.0, 'tanh')
    """

    x: Axis
    y: Axis
    base: Experiment = field(default_factory=Experiment)
    outcome: str = "last_std"
    seeds: int = 1
    training: Training | None = None

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise refusal("outcome", f"expected one of: {', '.join(OUTCOMES)}", self.outcome)
        if isinstance(self.seeds, bool) or not 1 <= self.seeds <= MOST_SEEDS:
            raise refusal("seeds", f"expected a whole number from 1 to {MOST_SEEDS}", self.seeds)
        names = {self.x.parameter, self.y.parameter}
        if len(names) == 1:
            raise refusal("y.parameter", "expected another parameter than x has", *names)
        if self.seeds > 1 and "seed" in names:
            raise refusal("seeds", "expected 1 where the seed is an axis", self.seeds)
        if self.base.seed + self.seeds - 1 > MAX_SEED:
            most = f"expected at most {MAX_SEED}, the largest seed, less the other seeds"
            raise refusal("base.seed", most, self.base.seed)
        if any(owner(name) is Training for name in names) and not self.chosen.trains:
            trains = ", ".join(o.name for o in OUTCOMES.values() if o.trains)
            name = next(name for name in names if owner(name) is Training)
            raise refusal("outcome", f"{name} is of a training; expected one of: {trains}",
                         self.outcome)  # fmt: skip
        if self.chosen.trains and self.training is None:
            object.__setattr__(self, "training", Training())
        if not self.chosen.trains:
            object.__setattr__(self, "training", None)

    @property
    def chosen(self) -> Outcome:
        """The outcome itself."""
        return OUTCOMES[self.outcome]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns: values of y, of x."""
        return len(self.y), len(self.x)

    @property
    def total(self) -> int:
        """How many experiments: cells times seeds."""
        return len(self.x) * len(self.y) * self.seeds

    @classmethod
    def from_json(cls, body: object) -> Plane:
        """Of ``{"x", "y", "base", "outcome", "seeds", "training"}``.

        Errors: `InvalidParameters`, each field as ``x.from`` names it.
        """
        names = ("x", "y", "base", "outcome", "seeds", "training")
        if not isinstance(body, Mapping):
            raise refusal("body", "expected a JSON object", body)
        errors = [
            field_error(str(name), f"unknown; expected one of: {', '.join(names)}", body[name])
            for name in body
            if name not in names
        ]
        made: dict[str, Any] = {}
        readers: dict[str, Any] = {
            "x": Axis.from_json, "y": Axis.from_json, "base": Experiment.from_json,
            "training": lambda given: None if given is None else Training.from_json(given),
        }  # fmt: skip
        for name, read in readers.items():
            if name not in body and name not in ("x", "y"):
                continue
            try:
                made[name] = read(body.get(name))
            except InvalidParameters as invalid:
                errors.extend(_within(name, invalid))
        if errors:
            raise InvalidParameters(errors)
        outcome, seeds = body.get("outcome", "last_std"), body.get("seeds", 1)
        if isinstance(seeds, float) and seeds.is_integer():
            seeds = int(seeds)
        if not isinstance(outcome, str):
            raise refusal("outcome", f"expected one of: {', '.join(OUTCOMES)}", outcome)
        if not isinstance(seeds, int):
            raise refusal("seeds", f"expected a whole number from 1 to {MOST_SEEDS}", seeds)
        return cls(outcome=outcome, seeds=seeds, **made)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        training = None if self.training is None else self.training.to_dict()
        return {
            "x": self.x.to_json(), "y": self.y.to_json(), "base": self.base.to_dict(),
            "outcome": self.outcome, "seeds": self.seeds, "training": training,
        }  # fmt: skip

    @cached_property
    def id(self) -> str:
        """The specification's hash: the same map asked twice is one map."""
        return _digest(self.to_json())

    def experiment(self, row: int, column: int, seed: int = 0) -> Experiment:
        """The experiment of a cell, and of one of its seeds.

        Errors: `InvalidParameters` where its values do not fit together.
        """
        found: Experiment = self._changed(Experiment, self.base, row, column, seed)
        return found

    def trained(self, row: int, column: int) -> Training | None:
        """The training of a cell."""
        if self.training is None:
            return None
        found: Training = self._changed(Training, self.training, row, column, 0)
        return found

    def samples(self) -> Iterator[Sample]:
        """Every experiment, coarse to fine: each level of refinement covers the plane, with all its
        seeds, before the next begins.

        Errors: `InvalidParameters` naming the first cell whose values do not fit together.
        """
        rows, columns = self.shape
        for level in coarse_to_fine(rows, columns):
            for seed in range(self.seeds):
                for row, column in level:
                    place = (row * columns + column) * self.seeds + seed
                    yield Sample(place, *self._checked(row, column, seed), self.outcome)

    def cell(self, place: int) -> tuple[int, int]:
        """Row and column of a sample's place."""
        return divmod(place // self.seeds, len(self.x))

    def _changed(
        self, model: type[Any], base: Specification, row: int, column: int, seed: int
    ) -> Any:
        update = {
            axis.parameter: axis.values[at]
            for axis, at, of in zip((self.x, self.y), (column, row), self._owners, strict=True)
            if of is model
        }
        if seed:
            update["seed"] = self.base.seed + seed
        return base.changed(update) if update else base

    @cached_property
    def _owners(self) -> tuple[type[Specification], type[Specification]]:
        return owner(self.x.parameter), owner(self.y.parameter)

    def _checked(self, row: int, column: int, seed: int) -> tuple[Experiment, Training | None]:
        part = "base"
        try:
            found = self.experiment(row, column, seed)
            part = "training"
            how = self.trained(row, column)
        except InvalidParameters as invalid:
            raise self._refused(row, column, part, invalid) from None
        if reason := self.chosen.objection(found):
            where = self._where(row, column)
            raise refusal("outcome", f"at {where}: {reason}", self.outcome)
        return found, how

    def _refused(
        self, row: int, column: int, part: str, invalid: InvalidParameters
    ) -> InvalidParameters:
        first = invalid.errors[0]
        told = f"at {self._where(row, column)}: {first['message']}"
        return refusal(f"{part}.{first['field']}", told, first["value"])

    def _where(self, row: int, column: int) -> str:
        pairs = ((self.x, column), (self.y, row))
        return ", ".join(f"{axis.parameter} {axis.values[at]}" for axis, at in pairs)


def coarse_to_fine(rows: int, columns: int) -> Iterator[list[tuple[int, int]]]:
    """The cells of a plane, level by level: every 2ᵏ-th row and column, then every 2ᵏ⁻¹-th, …

    >>> [len(level) for level in coarse_to_fine(5, 5)]
    [1, 3, 5, 16]
    """
    stride = 1
    while stride < max(rows, columns):
        stride *= 2
    known: set[tuple[int, int]] = set()
    while stride:
        level = [
            (row, column)
            for row in range(0, rows, stride)
            for column in range(0, columns, stride)
            if (row, column) not in known
        ]
        known.update(level)
        if level:
            yield level
        stride //= 2


def _within(name: str, invalid: InvalidParameters) -> list[dict[str, Any]]:
    whole = ("", "body")
    return [
        {**e, "field": name if e["field"] in whole else f"{name}.{e['field']}"}
        for e in invalid.errors
    ]


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
