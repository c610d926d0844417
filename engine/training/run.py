"""A training as a run: its steps into the store, its findings as they come, led by wishes."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from layerscope.engine.basis.cancellation import ShouldStop, Stopped
from layerscope.engine.basis.ending import State
from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.live import Live
from layerscope.engine.probe.ring import Ring
from layerscope.engine.probe.step import Origin, Outline
from layerscope.engine.probe.verdicts import Verdicts
from layerscope.engine.store import RunWriter, Store, go_on, open_store
from layerscope.engine.training.folder import Change, TrainingFolder, Wish
from layerscope.engine.training.origin import origin_of
from layerscope.engine.training.recording import facts_of, step_of
from layerscope.engine.training.trainer import Done, Trainer

__all__ = ["recomputed", "train"]

CHECKPOINTS = 24
"""Of a training, at most so many at equal distances."""
CHECKPOINT_BYTES = 256 * 2**20
"""And together no more than about so many bytes."""
PAUSE_SECONDS = 0.02
"""How often a paused training looks for a wish."""
LONGEST_PAUSE = 1800.0
"""After so many seconds a paused training is stopped, to be continued when somebody is back."""
REMEMBERED = 64
"""Steps of a run that is continued which are read again for its findings."""


def train(parent: Path, run: str, store_url: str, should_stop: ShouldStop) -> Iterator[int]:
    """Trains from where the run is to its end; yields the number of every step.

    Args:
        parent: where the trainings' folders are.
        run: its id, in the folder and in the store.
        store_url: of the store, with its password.
    """
    folder, store = TrainingFolder(parent, run), open_store(store_url)
    at = store.run(run).last_step or 0
    trainer = recomputed(folder, at, should_stop)
    session = _Session(folder, trainer, go_on(store, run), store)
    state: State = "failed"
    try:
        yield from session.steps(should_stop)
        state = session.state
    except (Stopped, GeneratorExit):
        state = "stopped"
        raise
    finally:
        session.end(state)
        store.close()


def recomputed(folder: TrainingFolder, step: int, should_stop: ShouldStop) -> Trainer:
    """The training as it was after ``step``: from the checkpoint before, computed anew, to the
    same bits."""
    trainer = Trainer(*folder.specification())
    kept = folder.restored(step)
    if kept is not None:
        trainer.restore(kept)
    changes = folder.changes()
    while trainer.step < step:
        _led(trainer, changes)
        trainer.advance(should_stop=should_stop)
    return trainer


def _led(trainer: Trainer, changes: list[Change]) -> None:
    for change in changes:
        if change.after == trainer.step:
            trainer.rate = change.rate


class _Session:
    """One process's part of a training, from a start to an end."""

    def __init__(
        self, folder: TrainingFolder, trainer: Trainer, writer: RunWriter, store: Store
    ) -> None:
        self.state: State = "finished"
        self._folder, self._trainer, self._writer = folder, trainer, writer
        self._changes = folder.changes()
        self._seen = -1
        self._wish = Wish()
        self._used = 0
        """Steps of those that were granted while it is paused."""
        self._ring = Ring()
        self._verdicts = Verdicts(self._ring)
        self._origin: Origin | None = None
        self._judging = Live(self._found, self._tell)
        self._between = _between(trainer)
        self._remember(store)

    def _remember(self, store: Store) -> None:
        last = self._trainer.step
        self._ring.modules(store.facts(self._writer.id, ModuleFacts))
        for kept in store.steps(self._writer.id, max(1, last - REMEMBERED), last + 1):
            if kept.payload is not None:
                looked = Outline.from_bytes(kept.payload).looked
                self._ring.add(kept.number, kept.payload, looked=looked)
        for kept in store.steps(self._writer.id, payload=False):
            if kept.loss is not None:
                self._ring.loss(kept.number, kept.loss)

    def steps(self, should_stop: ShouldStop) -> Iterator[int]:
        """Steps, as long as they are wished for."""
        trainer = self._trainer
        self._keep()
        idle = 0.0
        while trainer.step < trainer.training.steps:
            self._listen()
            if self._wish.stopped or should_stop() or idle > LONGEST_PAUSE:
                self.state = "stopped"
                return
            if self._wish.paused and self._used >= self._wish.granted:
                if self._judging.due() is not None:
                    self._judging.judge()
                idle += PAUSE_SECONDS
                threading.Event().wait(PAUSE_SECONDS)
                continue
            idle = 0.0
            self._used += self._wish.paused
            self._lead()
            due = (trainer.step % trainer.training.every) == 0
            done = trainer.advance(record=due, should_stop=should_stop)
            if due:
                self._record(done)
            if trainer.step % self._between == 0:
                self._keep()
            yield trainer.step
            if not math.isfinite(done.loss) and not done.skipped:
                return

    def end(self, state: State) -> None:
        """Nothing more comes."""
        self._keep()
        self._judging.judge()
        self._writer.summary({"checkpoints": self._folder.checkpoints(),
                              "changes": [[c.after, c.rate] for c in self._changes]})  # fmt: skip
        self._writer.finish(state)

    def _listen(self) -> None:
        at = self._folder.wished_at()
        if at != self._seen:
            before, self._wish = self._wish, self._folder.wish()
            self._seen = at
            if self._wish.pause != before.pause:
                self._used = 0

    def _lead(self) -> None:
        """Set the learning rate that holds from here on."""
        trainer, wish = self._trainer, self._wish
        known = max((change.wish for change in self._changes), default=0)
        if wish.rate is not None and wish.rate_wish > known:
            self._changes.append(Change(trainer.step, wish.rate, wish.rate_wish))
            self._folder.change(self._changes)
        _led(trainer, self._changes)

    def _record(self, done: Done) -> None:
        if self._origin is None:
            self._origin = origin = origin_of(done)
        else:
            origin = None
        if not self._ring.facts:
            self._ring.modules(facts_of(done.records))
            self._writer.modules(self._ring.facts)
        step = step_of(done, self._trainer.training.record, origin)
        payload = step.to_bytes()
        self._ring.loss(done.number, done.loss)
        self._ring.add(done.number, payload, looked=step.looked)
        bad = not math.isfinite(done.loss) or any(step.nonfinite.values())
        self._writer.step(done.number, done.loss, payload, nonfinite=bad)
        self._judging.happened(urgent=origin is not None)

    def _found(self) -> list[Finding]:
        return self._verdicts.findings(self._origin)

    def _tell(self, found: Sequence[Finding]) -> None:
        self._writer.findings([f.to_dict() for f in found])

    def _keep(self) -> None:
        if self._trainer.step in self._folder.checkpoints():
            return
        with contextlib.suppress(OSError):  # it is computed anew from an older one
            self._folder.keep(self._trainer.step, self._trainer.state())


def _between(trainer: Trainer) -> int:
    """Steps between two checkpoints."""
    size: int = sum(
        t.numel() * t.element_size() * (1 + trainer.optimizer.copies)
        for t in trainer.state()["parameters"].values()
    )
    count = max(2, min(CHECKPOINTS, CHECKPOINT_BYTES // max(size, 1)))
    return math.ceil(trainer.training.steps / count)
