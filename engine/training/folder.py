"""What is kept of a training beside its run: specification, changes, wishes, and checkpoints.

One folder a run. Whoever serves writes wishes, the process that trains reads them; every file is
put in place whole, so that either may be killed at any moment.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.training.specification import Training

__all__ = ["Change", "TrainingFolder", "Wish"]

RUN = re.compile(r"[A-Za-z0-9_-]{1,64}")
ASIDE = ".aside"
"""Ends the name of a folder that is put aside; no run's id can end so."""


@dataclass(frozen=True, slots=True)
class Change:
    """A learning rate that was set by hand: from after step ``after`` on.

    ``wish``: the number of the wish that asked for it.
    """

    after: int
    rate: float
    wish: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a training. ``granted``: though it is paused, so many steps since it was,
    by the wish ``pause``. ``rate``: the learning rate last asked for, by the wish ``rate_wish``."""

    paused: bool = False
    pause: int = 0
    granted: int = 0
    stopped: bool = False
    rate: float | None = None
    rate_wish: int = 0


class TrainingFolder:
    """The folder of one run below ``parent``.

    Errors: ``ValueError`` for what is no run's id.
    """

    def __init__(self, parent: Path, run: str) -> None:
        if not RUN.fullmatch(run):
            raise ValueError(f"run: expected 1 to 64 letters, digits, - or _, got {run[:80]!r}")
        self.run = run
        self.path = parent / run

    @property
    def exists(self) -> bool:
        """Whether this run is one of ours."""
        return self._specification.is_file()

    @property
    def _specification(self) -> Path:
        return self.path / "training.json"

    @property
    def _aside(self) -> Path:
        return self.path.with_name(self.run + ASIDE)

    @property
    def _wish(self) -> Path:
        return self.path / "wish.json"

    @property
    def _changes(self) -> Path:
        return self.path / "changes.json"

    def create(
        self, experiment: Experiment, training: Training, changes: Sequence[Change] = ()
    ) -> None:
        """Begin it. The specification comes last: with it the folder is whole."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.change(changes)
        _put(self._specification, _json(
            {"experiment": experiment.to_dict(), "training": training.to_dict()}
        ))  # fmt: skip

    def specification(self) -> tuple[Experiment, Training]:
        """What is trained, and how.

        Errors: ``FileNotFoundError`` for a run that is none of ours.
        """
        known = json.loads(self._specification.read_bytes())
        return Experiment.from_json(known["experiment"]), Training.from_json(known["training"])

    def changes(self) -> list[Change]:
        """What was changed by hand so far, in order."""
        return [Change(**each) for each in json.loads(self._changes.read_bytes())]

    def change(self, changes: Sequence[Change]) -> None:
        """Put these in place of the changes before."""
        _put(self._changes, _json([asdict(each) for each in changes]))

    def wish(self) -> Wish:
        """What is wanted of it now."""
        try:
            return Wish(**json.loads(self._wish.read_bytes()))
        except FileNotFoundError:
            return Wish()

    def wish_for(self, **changes: Any) -> Wish:
        """Change what is wanted; the rest stays."""
        before = self.wish()
        if "rate" in changes:
            changes["rate_wish"] = before.rate_wish + 1
        if "paused" in changes:
            changes = {"granted": 0, "pause": before.pause + 1, **changes}
        wish = replace(before, **changes)
        _put(self._wish, _json(asdict(wish)))
        return wish

    def wished_at(self) -> int:
        """When a wish was last made: to see, without reading it, that there is another."""
        try:
            return self._wish.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def checkpoints(self) -> list[int]:
        """The steps after which there is a checkpoint, in order."""
        return sorted(int(p.stem) for p in self.path.glob("*.pt") if p.stem.isdecimal())

    def keep(self, step: int, state: Mapping[str, Any]) -> None:
        """Write a checkpoint.

        Errors: ``OSError`` where the disk will not take it.
        """
        file, part = self.path / f"{step}.pt", self.path / f"{step}.part"
        torch.save(dict(state), part)
        part.replace(file)

    def restored(self, most: int) -> dict[str, Any] | None:
        """The newest checkpoint at or before step ``most``; None where there is none."""
        for step in reversed([s for s in self.checkpoints() if s <= most]):
            try:
                state = torch.load(self.path / f"{step}.pt", weights_only=True)
            except Exception:  # noqa: S112 - a broken file raises whatever it likes
                continue  # the one before will do
            return dict(state)
        return None

    def branch(self, other: TrainingFolder, step: int) -> None:
        """Begin ``other`` as this one was after ``step``."""
        experiment, training = self.specification()
        other.path.mkdir(parents=True, exist_ok=True)
        for kept in self.checkpoints():
            if kept <= step:
                shutil.copyfile(self.path / f"{kept}.pt", other.path / f"{kept}.pt")
        other.create(experiment, training, [c for c in self.changes() if c.after < step])

    def put_aside(self) -> None:
        """It is not there any more, until it is put back; of one that is not there nothing."""
        with suppress(FileNotFoundError):
            self.path.rename(self._aside)

    def put_back(self) -> None:
        """Undo `put_aside`; whoever else has done so was as right."""
        with suppress(FileNotFoundError):
            self._aside.rename(self.path)

    def remove(self) -> None:
        """Nothing of it stays, wherever it was put."""
        for path in (self._aside, self.path):
            shutil.rmtree(path, ignore_errors=True)

    @staticmethod
    def left_aside(parent: Path) -> list[str]:
        """The runs whose folders are put aside: by who removes them now, or was ended at it."""
        return [path.stem for path in parent.glob(f"*{ASIDE}") if RUN.fullmatch(path.stem)]


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _put(file: Path, data: bytes) -> None:
    part = file.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(data)
    part.replace(file)
