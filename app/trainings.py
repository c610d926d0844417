"""Trainings of ours: each in a process of its own, begun, led and gone on with from here.

What is wanted of one lies in its folder, so that any web process may say it to any training.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import structlog
from fastapi import Depends, Request

from layerscope.app.compute import Compute, asking
from layerscope.app.errors import Problem
from layerscope.app.recorded import from_store
from layerscope.app.settings import Settings
from layerscope.app.workers.forking import ForkServer
from layerscope.app.workers.pool import Workers
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.execution.cost import Limits
from layerscope.engine.experiment import Experiment
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.store import (
    Batch,
    Finish,
    Modules,
    NoSuchRun,
    Run,
    Start,
    StepEntry,
    Store,
    new_id,
)
from layerscope.engine.training import Training, step_cost
from layerscope.engine.training.folder import TrainingFolder, Wish
from layerscope.engine.training.run import train

__all__ = ["FOLDER", "NICE", "Leading", "Ours", "Trainings", "name_of"]

FOLDER = "trainings"
"""Within the data folder."""
ALIVE_SECONDS = 3.0
"""How often a run is told to be alive."""
NICE = 10
"""How far a training stands back: whoever moves a slider goes before it."""
COPIED_AT_ONCE = 200
"""Steps of a run that go into its branch in one batch."""

UNREADABLE = (ValueError, TypeError, KeyError, InvalidParameters)
"""What a file raises that is not as it was written."""

T = TypeVar("T")

log = structlog.stdlib.get_logger("layerscope.trainings")


@dataclass(frozen=True, slots=True)
class Ours:
    """A run that is a training of ours."""

    experiment: Experiment
    training: Training
    wish: Wish


class Trainings:
    """At most so many at once, beside the computations of pages."""

    def __init__(
        self, settings: Settings, store: Store, fork_server: ForkServer | None = None
    ) -> None:
        self.most = settings.max_trainings
        self._limits: Limits = settings.limits
        self._parent: Path = settings.data_dir / FOLDER
        self._url = settings.store_url.render_as_string(hide_password=False)
        self._store = store
        self._compute = Compute(
            Workers(fork_server), max(1, self.most), 0, 0.0,
            seconds=settings.max_training_seconds, memory_bytes=settings.ceiling_bytes,
            torch_threads=1,
        )  # fmt: skip
        self._running: dict[str, asyncio.Task[None]] = {}
        self._beginning: set[str] = set()

    def folder(self, run: str) -> TrainingFolder:
        """Where a training's own files are."""
        return TrainingFolder(self._parent, run)

    def ours(self, run: str) -> Ours | None:
        """What is known of a training; None for a run that is none of ours, or no longer: what it
        names may not be registered any more. Reads files."""
        folder = self.folder(run)
        try:
            return Ours(*folder.specification(), folder.wish())
        except (OSError, *UNREADABLE):
            return None

    def run(self, run: str) -> Run:
        """The run itself, as the store has it."""
        return self._store.run(run)

    async def begin(self, experiment: Experiment, training: Training, name: str = "") -> str:
        """Train it; the run's id.

        Errors: ``OverLimit`` for a step that costs too much; ``Problem`` 503 where as many train
        as may.
        """
        self._limits.check(step_cost(experiment, training))
        run = new_id()

        def prepare() -> None:
            self.folder(run).create(experiment, training)
            self._start(run, name or name_of(experiment, training), experiment, training)

        with self._place(run):
            await _kept(prepare)
            self._launch(run)
        return run

    async def wish(self, run: str, **changes: Any) -> None:
        """Say what is wanted of a training. Errors: ``Problem`` 409 for a run that is not ours."""
        await _kept(lambda: self._own(run).wish_for(**changes))

    async def step(self, run: str) -> None:
        """Let a paused training do one more step, and pause one that is not."""

        def ask() -> None:
            folder = self._own(run)
            wish = folder.wish()
            if wish.paused and self._store.run(run).state == "running":
                folder.wish_for(granted=wish.granted + 1)
            else:
                folder.wish_for(paused=True, granted=1)

        await _kept(ask)
        await self._go_on_if_ended(run)

    async def resume(self, run: str) -> None:
        """Let it go on: a paused one at once, one that was stopped from its last step.

        Errors: ``Problem`` 409 for one that has done all its steps.
        """
        await _kept(lambda: self._own(run).wish_for(paused=False, stopped=False))
        await self._go_on_if_ended(run)

    async def rewind(self, run: str, step: int) -> str:
        """A training that begins as this one was after ``step``, paused there; its run's id.

        Errors: ``Problem`` 409, 422 for a step that was not recorded, 503.
        """
        other = new_id()

        def branch() -> None:
            folder, found = self._own(run), self._store.run(run)
            if not any(s.number == step for s in self._store.steps(run, step, step + 1,
                                                                    payload=False)):  # fmt: skip
                raise Problem(422, f"Step {step} of this run was not recorded.", kind="invalid",
                              title="No such step")  # fmt: skip
            folder.branch(self.folder(other), step)
            self.folder(other).wish_for(paused=True)
            experiment, training = folder.specification()
            self._start(other, f"{found.name}, from step {step}", experiment, training,
                        {"run": run, "step": step})  # fmt: skip
            self._copy(run, other, step)

        with self._place(other):
            await _kept(branch)
            self._launch(other)
        return other

    def purge(self, seconds: float) -> int:
        """Remove for good what was deleted more than ``seconds`` ago, with what a training kept
        beside its run; how many runs. What is kept is put aside first, so that a run which is
        brought back meanwhile has it again, and what is left half-way is found.

        Errors: of the store.
        """
        for run in TrainingFolder.left_aside(self._parent):
            self._settle(run)
        removed = 0
        for run in self._store.expired(seconds):
            if run in self._running or run in self._beginning:
                continue
            try:
                self.folder(run).put_aside()
            except ValueError:  # an id that none of ours can have
                removed += self._store.purge(run, seconds)
                continue
            try:
                removed += self._store.purge(run, seconds)
            finally:
                self._settle(run)
        return removed

    def _settle(self, run: str) -> None:
        """Put back what was put aside where there is such a run, or else remove it."""
        folder = self.folder(run)
        try:
            self._store.position(run)
        except NoSuchRun:
            folder.remove()
        else:
            folder.put_back()

    def close(self) -> None:
        """Stop all of them; each can be gone on with."""
        self._compute.close()

    async def join(self) -> None:
        """Wait until they have stopped."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        await self._compute.join()

    @contextlib.contextmanager
    def _place(self, run: str) -> Iterator[None]:
        """One of the places, from before anything is written until the training is launched."""
        if self.most == 0:
            raise Problem(503, "This server trains no networks (LAYERSCOPE_MAX_TRAININGS is 0).",
                          kind="busy", title="No trainings here")  # fmt: skip
        taken = len(self._running.keys() | self._beginning)
        if taken >= self.most:
            raise Problem(503, f"{taken} trainings run already, as many as this server takes; "
                          "stop one, or come back.", kind="busy",
                          title="Too many trainings at once")  # fmt: skip
        self._beginning.add(run)
        try:
            yield
        finally:
            self._beginning.discard(run)

    def _own(self, run: str) -> TrainingFolder:
        self._store.run(run)  # or there is no such run
        folder = self.folder(run)
        if not folder.exists:
            raise Problem(409, f"Run {run} is not trained here: only its own program can lead it.",
                          kind="not-ours", title="Not a training of this server")  # fmt: skip
        return folder

    def _start(
        self, run: str, name: str, experiment: Experiment, training: Training,
        source: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        config = {"experiment": experiment.to_dict(), "training": training.to_dict()}
        if source:
            config["from"] = source
        self._store.append(run, Batch(1, [Start(name, config, time.time())]))

    def _copy(self, run: str, other: str, step: int) -> None:
        """The modules, and the steps up to ``step``, as they were recorded."""
        facts = [f.to_bytes() for f in self._store.facts(run, ModuleFacts)]
        self._store.append(other, Batch(2, [Modules(facts)]))
        cursor, place = 0, 3
        while True:
            came = self._store.follow(run, cursor, limit=COPIED_AT_ONCE)
            part = [s for s in came.steps if s.number <= step]
            if part:
                self._store.append(other, Batch(place, [
                    StepEntry(s.number, s.time, s.loss, s.payload or b"", s.nonfinite) for s in part
                ]))  # fmt: skip
            cursor, place = came.cursor, place + len(part)
            if not came.more or len(part) < len(came.steps):
                return

    async def _go_on_if_ended(self, run: str) -> None:
        if run in self._running:
            return
        found = await from_store(partial(self._store.run, run))
        if found.state == "running":
            return  # by another web process
        ours = await _kept(partial(self.ours, run))
        if ours is None:
            raise Problem(409, "The files of this training can't be read any more.",
                          kind="not-ours", title="No training of this server")  # fmt: skip
        if (found.last_step or 0) + ours.training.every > ours.training.steps:
            raise Problem(409, f"This training has done its {ours.training.steps} steps.",
                          kind="not-ours", title="The training is at its end")  # fmt: skip
        with self._place(run):
            await _kept(lambda: self._own(run).wish_for(stopped=False))
            self._launch(run)

    def _launch(self, run: str) -> None:
        task = asyncio.create_task(self._followed(run))
        self._running[run] = task
        task.add_done_callback(lambda _: self._running.pop(run, None))

    async def _followed(self, run: str) -> None:
        asking.set(FOLDER)
        work = partial(_train, self._parent, run, self._url)
        alive = asyncio.create_task(self._alive(run))
        try:
            await self._compute.run(work)
        except Problem as problem:
            if not self._compute.closed:
                log.warning("a training was ended", why=problem.document["detail"])
        except Exception:
            log.exception("a training failed")
        finally:
            alive.cancel()
        with contextlib.suppress(Problem):
            await from_store(partial(self._ended, run))

    async def _alive(self, run: str) -> None:
        """Signs of life, also while it waits for its process."""
        while True:
            await asyncio.sleep(ALIVE_SECONDS)
            with contextlib.suppress(Problem):
                await from_store(partial(self._store.append, run, Batch(1, [])))

    def _ended(self, run: str) -> None:
        """Of a process that could not say so itself: it was killed."""
        found = self._store.run(run)
        if found.state == "running":
            end = Finish("stopped", time.time())
            self._store.append(run, Batch(found.sequence + 1, [end]))


async def _trainings(request: Request) -> Trainings:
    trainings: Trainings = request.app.state.trainings
    return trainings


Leading = Annotated[Trainings, Depends(_trainings)]
"""Where this application trains."""


async def _kept(ask: Callable[[], T]) -> T:
    """`from_store`, of a training's own files too.

    Errors: ``Problem``, 503 where they can't be read or written, 409 for what is none of ours.
    """

    def asked() -> T:
        try:
            return ask()
        except NoSuchRun:
            raise
        except OSError as error:
            why = f"The files of trainings can't be used: {error.strerror or error}."
            raise Problem(503, why, kind="store", title="The store is not usable") from None
        except UNREADABLE as error:
            why = f"The files of this training can't be read: {error}."
            raise Problem(409, why, kind="not-ours", title="No training of this server") from None

    return await from_store(asked)


def _train(parent: Path, run: str, url: str, should_stop: ShouldStop) -> int:
    """All of it, in a worker; the number of steps."""
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    return sum(1 for _ in train(parent, run, url, should_stop))


def name_of(experiment: Experiment, training: Training) -> str:
    """What a training is called that was given no name.

    >>> name_of(Experiment(depth=5), Training(optimizer="adam", learning_rate=0.001))
    'relu 5×100, adam 0.001'
    """
    parts = [experiment.phi, f"{experiment.depth}×{experiment.width}"]
    if experiment.norm != "none":
        parts.append(f"{experiment.norm} norm")
    if experiment.dtype != "float32":
        parts.append(experiment.dtype)
    return f"{' '.join(parts)}, {training.optimizer} {training.learning_rate:g}"
