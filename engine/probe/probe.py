"""The probe: a run that is being recorded, from the first step to the last."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from torch import Tensor, nn

from layerscope.engine.basis.ending import State, state_after
from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.asking import AskedLoss
from layerscope.engine.probe.compiled import compiled_modules, quiet_about_global_hooks
from layerscope.engine.probe.delivery import Delivery
from layerscope.engine.probe.first_bad import FirstBad
from layerscope.engine.probe.given import loss_given, without_update
from layerscope.engine.probe.pace import Pace
from layerscope.engine.probe.recorder import Recorder
from layerscope.engine.probe.ring import Ring
from layerscope.engine.probe.showing import training_markup
from layerscope.engine.probe.sinks import Place
from layerscope.engine.probe.step import Origin, Step
from layerscope.engine.probe.telling import News, Teller
from layerscope.engine.probe.watched import Watched
from layerscope.engine.probe.writing import Writer

__all__ = ["Probe", "watched_already"]

_live: weakref.WeakSet[Probe] = weakref.WeakSet()


def watched_already(model: nn.Module) -> bool:
    """Whether a probe that is running watches ``model`` or a part of it."""
    modules = set(map(id, model.modules()))
    return any(modules & set(p.watched.leaves) for p in _live if p._watches)


class Probe:
    """A run that is being recorded. Use it as a context manager, or ``close`` it.

    Whatever fails in it ends the recording with one warning, never the training.
    """

    def __init__(
        self, watched: Watched, pace: Pace, sink: Place, loss: AskedLoss, news: News, scaler: Any,
        tell: Teller,
    ) -> None:  # fmt: skip
        self.watched = watched
        self.pace = pace
        self.ring = Ring()
        self.number = 0
        """Steps ended."""
        self.state: State | Literal["running"] = "running"
        self.error: BaseException | None = None
        """Why it switched itself off."""
        self._tell = tell
        self._sink = sink
        self._loss = loss
        self._news = news
        self._scaled = scaler is not None
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._told_origin: Origin | None = None
        """Of which the user has been told, where that is asked for."""
        self._bad = FirstBad(watched, loss, lambda: self.number + 1)
        compiled = compiled_modules(watched.model)
        self._delivery = Delivery(
            watched, self.ring, sink, self._bad, self._gradients_changed, scaled=self._scaled
        )
        self._writer = Writer(
            watched, self._delivery.recorded, self._failed, self._delivery.judging
        )  # fmt: skip
        self._recorder = Recorder(
            watched, self._writer, loss, scaler, self._bad, self._failed,
            by_parameters=bool(compiled),
        )  # fmt: skip
        self._loud = quiet_about_global_hooks()
        _live.add(self)
        atexit.register(self._leave)
        if compiled:
            self._tell("compiled", f"{', '.join(compiled)} is compiled: what happens inside is not "
                       "seen; parameters, gradients, updates and the loss are")  # fmt: skip
        self._at = time.perf_counter()
        self._beginning = 0.0
        """Seconds that the beginning of this step has taken."""
        try:
            self._begin()
        except Exception as error:
            self._failed(error)
        except BaseException:
            self.close("stopped")
            raise

    # What the user calls

    def loss(self, *args: Any, **kwargs: Any) -> Any:
        """The loss function of ``watch``, called; the same value."""
        if self._loss.function is None:
            raise ValueError("loss: give the loss function to `watch` to call it through the probe")
        watching = self._watches
        if watching and self._recorder.modules.looks:
            self._loss.looks(args, kwargs)
        value = self._loss.function(*args, **kwargs)
        if watching:
            self._loss.saw(args, kwargs, value)
        return value

    def step(self, loss: Any = None) -> None:
        """A step of the training has ended; to be called once, after the optimiser's.

        Args:
            loss: its value, a number or a tensor of one entry; None where there is none.
        """
        if not self._watches or os.getpid() != self._process:
            return
        new: list[Finding] = []
        try:
            looked = self._recorder.modules.looks
            self._step(loss)
            asks = self._untold() or looked
            new = self._news.of(self.findings()) if asks and self._news.wanted else []
        except Exception as error:
            self._failed(error)
        self._news.tell(new)

    def findings(self) -> list[Finding]:
        """What is wrong with the training so far, most severe first."""
        self._writer.wait()
        return self._delivery.findings()

    def _untold(self) -> bool:
        """Whether the first NaN has come up since this was asked."""
        told, self._told_origin = self._told_origin, self.origin
        return told is not self.origin

    @property
    def _watches(self) -> bool:
        """Whether it is still at it: neither closed nor failed."""
        return self.state == "running" and self.error is None

    @property
    def origin(self) -> Origin | None:
        """Of the first NaN or infinity of the training."""
        return self._bad.origin

    def facts(self) -> list[Any]:
        """What is known of the modules, in forward order."""
        return self.watched.facts()

    def steps(self) -> list[Step]:
        """The recorded steps that are still in memory, oldest first."""
        self._writer.wait()
        return list(self.ring)

    def _repr_html_(self) -> str:
        """What a notebook shows: the findings, and every module over the steps in memory; above
        them the run's own page, where a server keeps it."""
        model = type(self.watched.model).__name__
        findings, steps = self.findings(), self.steps()  # both wait for what is being written
        return training_markup(
            f"{model}: {self.state} at step {self.number}",
            self.ring.facts, steps, list(self.ring.losses), findings, self._sink.page,
        )  # fmt: skip

    def cost(self) -> dict[str, Any]:
        """What recording has cost so far; see ``Pace.cost``."""
        return self.pace.cost()

    def close(self, state: State = "finished") -> None:
        """Removes every hook, writes what is left, and says how the run ended."""
        with self._lock:
            if self.state != "running":
                return
            self.state = state
        self._detach()
        if os.getpid() != self._process:
            return
        self._writer.close()
        self._recorder.looker.forget()
        for part in (
            self._delivery.keep_findings,
            self._end_summary,
            lambda: self._sink.finish(state),
        ):
            try:
                part()
            except Exception as error:
                self._failed(error)
        atexit.unregister(self._leave)
        _live.discard(self)
        self.watched.release()

    def _end_summary(self) -> None:
        error = None if self.error is None else f"{type(self.error).__name__}: {self.error}"
        self._sink.summary({"cost": self.cost(), "error": error})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        own = error is not None and error is self._news.stopped
        self.close("stopped" if own else state_after(error))
        return own

    def __deepcopy__(self, memo: dict[int, Any]) -> Probe:
        return self  # a probe watches one model, whoever copies what refers to it

    # A step

    def _begin(self) -> None:
        self._recorder.begin(self.number + 1, self.pace)

    def _step(self, loss: Any) -> None:
        began = time.perf_counter()
        recorder = self._recorder
        modules = recorder.modules
        given = loss_given(loss, self._tell)
        value = None if isinstance(given, Tensor) else given
        self._bad.examine(value, modules, loss)
        if self.watched.optimizers and not self._scaled and not recorder.optimizers.taken:
            without_update(self.number, forward=bool(modules.calls), tell=self._tell)
        self.number += 1
        if value is not None:
            self.ring.loss(self.number, value)
        recorded, called, size = recorder.records, len(modules.calls), modules.bytes
        if recorded or self._bad.new is not None:
            recorder.write(self.number, given, loss if modules.looks else None)
        elif isinstance(given, Tensor):
            self._writer.put(partial(self._delivery.late_loss, self.number, given.clone()))
        recorder.end()
        now = time.perf_counter()
        own = self._beginning + now - began + recorder.optimizers.seconds
        self.pace.ended(self.number, now - self._at, recorded, called, size, own)
        self._at = now
        if self.error is None:  # else there is nothing to begin: the writing thread has failed
            self._begin()
            if self.error is not None:
                self._detach()  # it has just now
        self._beginning = time.perf_counter() - now

    def _gradients_changed(self) -> None:
        self._recorder.optimizers.gradients.changed_after()

    # When something goes wrong, and at the end

    def _failed(self, error: BaseException) -> None:
        """Switches the probe off, once."""
        if self.error is not None:
            return
        self.error = error
        self._detach()
        self._tell("off", f"the probe has failed and is off now; the training goes on "
                   f"({type(error).__name__}: {error})")  # fmt: skip

    def _detach(self) -> None:
        """Leaves no hook anywhere, and nothing of the training held."""
        self._recorder.remove()
        self._loud()

    def _leave(self) -> None:
        self.close("stopped")


def _forked() -> None:
    """In a child process no thread of ours is there: its copies of the probes do nothing."""
    for probe in list(_live):
        probe.state = "stopped"
        probe._detach()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
