"""The probe: a run that is being recorded, from the first step to the last."""

from __future__ import annotations

import atexit
import math
import os
import threading
import time
import weakref
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from torch import Tensor, nn

from layerscope.engine.basis.ending import State, state_after
from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.accelerator import Afar
from layerscope.engine.probe.asking import AskedLoss
from layerscope.engine.probe.backward import BackwardPasses
from layerscope.engine.probe.collecting import Collector
from layerscope.engine.probe.compiled import compiled_modules, quiet_about_global_hooks
from layerscope.engine.probe.first_bad import FirstBad
from layerscope.engine.probe.hooks import Call, Mode, ModuleHooks
from layerscope.engine.probe.live import Live
from layerscope.engine.probe.looking import Looker, running_of
from layerscope.engine.probe.pace import Pace
from layerscope.engine.probe.ring import Ring
from layerscope.engine.probe.sinks import Sink
from layerscope.engine.probe.step import ModuleStep, Origin, Quantity, Step
from layerscope.engine.probe.stepping import OptimizerHooks
from layerscope.engine.probe.telling import News, Teller
from layerscope.engine.probe.verdicts import Verdicts
from layerscope.engine.probe.watched import Leaf, Tracked, Watched
from layerscope.engine.probe.writing import Ending, Recorded, Writer

__all__ = ["Probe", "watched_already"]

ALL = frozenset(Quantity)
PASSING = frozenset({Quantity.INPUT, Quantity.ACTIVATION})
KEPT = PASSING | {Quantity.VALUE}
"""What must be finite under a gradient scaler too; gradients may overflow there."""

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
        self, watched: Watched, pace: Pace, sink: Sink, loss: AskedLoss, news: News, scaler: Any,
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
        self._scaler = scaler
        self._scale: float | None = None
        """By which the scaler multiplies this step's loss."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._sent: list[Any] = []
        self._told_origin: Origin | None = None
        """Of which the user has been told, where that is asked for."""
        self._bad = FirstBad(watched, loss, lambda: self.number + 1)
        compiled = compiled_modules(watched.model)
        self._verdicts = Verdicts(self.ring, has_optimizer=bool(watched.optimizers))
        self._judging = Live(self._found_so_far, self._keep_findings)
        self._writer = Writer(watched, self._deliver, self._failed, self._judging)
        self._afar = Afar()
        self._looker = Looker(self._afar, self._writer.put)
        self._collector = Collector(self._writer.put, self._afar.take)
        self._optimizers = OptimizerHooks(
            watched, self._collector, self._writer, self._afar, self._failed, self._before_update
        )
        self._passes = BackwardPasses(
            self._optimizers.backward_begins, self._optimizers.backward_ended, self._failed
        )
        self._asks_parameters = bool(compiled)
        """Whether backward passes are seen by parameters too: where modules do not tell of them."""
        self._modules = ModuleHooks(
            watched, self._collector, self._failed, self._looker.look,
            self._passes, self._in_call,
        )  # fmt: skip
        self._loud = quiet_about_global_hooks()
        _live.add(self)
        atexit.register(self._leave)
        if compiled:
            self._tell("compiled", f"{', '.join(compiled)} is compiled: what happens inside is not "
                       "seen; parameters, gradients, updates and the loss are")  # fmt: skip
        self._at = time.perf_counter()
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
        if watching and self._modules.looks:
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
            looked = self._modules.looks
            self._step(loss)
            asks = self._untold() or looked
            new = self._news.of(self.findings()) if asks and self._news.wanted else []
        except Exception as error:
            self._failed(error)
        self._news.tell(new)

    def findings(self) -> list[Finding]:
        """What is wrong with the training so far, most severe first."""
        self._writer.wait()
        return self._found_so_far()

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
        self._looker.forget()
        for part in (self._end_findings, self._end_summary, lambda: self._sink.finish(state)):
            try:
                part()
            except Exception as error:
                self._failed(error)
        atexit.unregister(self._leave)
        _live.discard(self)
        self.watched.release()

    def _end_findings(self) -> None:
        self._sink.findings([f.to_dict() for f in self._found_so_far()])

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
        """Sets what is done in the step that begins."""
        records = self.pace.records(self.number + 1)
        between = Mode.LOOK_OUT if self.pace.looks_out else Mode.OFF
        mode = Mode.RECORD if records else between
        if records:
            self.watched.refresh()
            if self._asks_parameters:
                self._passes.ask(t.parameter for t in self.watched.tracked.values())
            self._scale = None if self._scaler is None else float(self._scaler.get_scale())
        self._modules.looks = records and self._looker.wanted()
        self._modules.mode = mode
        self._modules.checks = self.pace.checks and self.origin is None
        self._optimizers.begin(
            Mode.RECORD if records else Mode.LOOK_OUT,
            next_recorded=self.pace.records_after(self.number + 1),
        )

    def _step(self, loss: Any) -> None:
        began = time.perf_counter()
        there = self._there(loss)
        value = None if there is not None else self._value(loss)
        calls = self._modules.calls
        self._bad.examine(value, self._modules)
        if not self._optimizers.taken:
            self._without_update(bool(calls))
        self.number += 1
        if value is not None:
            self.ring.loss(self.number, value)
        recorded = self._modules.mode is Mode.RECORD
        called = len(calls)
        if recorded or self._bad.new is not None:
            if there is not None:
                self._afar.number(there, self._writer.late_loss)
            self._end_record(value)
        elif there is not None:
            self._writer.put(partial(self._late_loss, self.number, there.clone()))
        size = self._modules.bytes
        if recorded and self._optimizers.taken and not self._passes.seen:
            self._asks_parameters = True
        self._modules.end_step()
        self._passes.end_step()
        self._optimizers.end()
        self._loss.clear()
        now = time.perf_counter()
        self.pace.ended(self.number, now - self._at, recorded, called, size)
        self._at = now
        if self.error is None:  # else there is nothing to begin: the writing thread has failed
            self._begin()
            if self.error is not None:
                self._detach()  # it has just now
        self.pace.own_seconds += time.perf_counter() - began

    def _end_record(self, loss: float | None) -> None:
        self._collector.flush()
        self._looker.flush()
        self.watched.place_the_rest()
        step = Step(
            number=self.number, time=time.time(), loss=loss,
            learning_rates=self._optimizers.learning_rates, slots=[], statistics=[],
            modules=[self._said(leaf) for leaf in self.watched.order if leaf.calls],
            skipped=self._scaler is not None and not self._optimizers.taken,
            scale=self._scale, baseline=self._loss.constant, origin=self._bad.told(),
            task=self._loss.task,
        )  # fmt: skip
        for rate, tell in self._optimizers.late_rates:
            self._afar.number(rate, tell)
        self._optimizers.staleness.tell(step)
        for fetched in self._afar.ended():
            self._writer.put(fetched)
        clipped = self._optimizers.gradients.changed_before
        self._writer.put(Ending(step, clipped, _power_of_two(self._scale)))

    def _said(self, leaf: Leaf) -> ModuleStep:
        module = leaf.module
        look = self._looker.take(leaf)
        training = module.training if leaf.kind.mode else None
        running = running_of(module) if look is not None and leaf.kind.running else None
        return ModuleStep(leaf.index, tuple(leaf.shape), leaf.calls, training, running, look)

    @staticmethod
    def _there(loss: Any) -> Tensor | None:
        """The loss where it lies on an accelerator: read when the device has come to it, by the
        writing thread."""
        if isinstance(loss, Tensor) and loss.numel() == 1 and Afar.holds(loss):
            return loss.detach()
        return None

    def _value(self, loss: Any) -> float | None:
        if loss is None:
            return None
        try:
            return float(loss.detach() if isinstance(loss, Tensor) else loss)
        except (TypeError, ValueError, RuntimeError):
            what = (
                f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
            )
            self._tell("loss", f"probe.step expected the loss as one number, got {what:.80}")
            return None

    def _without_update(self, forward: bool) -> None:
        if not self.watched.optimizers or self._scaler is not None:
            return
        if not forward and self.number:
            self._tell("twice", f"probe.step was called twice after step {self.number}: nothing "
                       "happened between; call it once an optimiser step")  # fmt: skip
        else:
            self._tell("no update", f"no optimiser step was seen before probe.step in step "
                       f"{self.number + 1}: call it after optimizer.step(), and give that "
                       "optimiser to `watch`")  # fmt: skip

    def _in_call(self, call: Call) -> None:
        self._bad.in_call(call, self._modules)

    def _before_update(self, mine: Sequence[Tracked]) -> None:
        if self._scaler is None:  # else gradients may overflow: then the step is left out
            self._bad.before_update(mine, self._modules)

    # The writing thread

    def _deliver(self, recorded: Recorded) -> None:
        facts = self.watched.facts()
        if facts != self._sent:
            self._sent = facts
            self.ring.modules(facts)
            self._sink.modules(facts)
        step = recorded.step
        if recorded.late_loss and step.loss is not None:
            self.ring.loss(step.number, step.loss)
        late = self._bad.in_figures(
            step.number,
            [key for key in recorded.nonfinite if key.quantity in self._told_late(recorded)],
            step.loss if recorded.late_loss else None,
        )
        self.ring.add(step.number, recorded.payload, looked=step.looked)
        self._sink.step(
            step.number, step.loss, recorded.payload,
            nonfinite=bool(recorded.nonfinite) or not math.isfinite(step.loss or 0.0),
        )  # fmt: skip
        for key in recorded.dropped:
            key.at_once = True
            if key.quantity is Quantity.PARAMETER_GRADIENT:
                self._optimizers.gradients.changed_after()
        self._judging.happened(urgent=step.origin is not None or late is not None)

    def _told_late(self, recorded: Recorded) -> frozenset[Quantity]:
        """What figures are asked about: here only that of which nothing may be left behind."""
        if not recorded.from_afar:
            return PASSING
        return KEPT if self._scaler is not None else ALL

    def _late_loss(self, number: int, loss: Tensor) -> None:
        value = float(loss)
        self.ring.loss(number, value)
        if self._bad.in_figures(number, [], value) is not None:
            self._judging.happened(urgent=True)

    def _found_so_far(self) -> list[Finding]:
        return self._verdicts.findings(self.origin)

    def _keep_findings(self, findings: Sequence[Finding]) -> None:
        self._sink.findings([finding.to_dict() for finding in findings])

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
        self._modules.remove()
        self._passes.end_step()
        self._optimizers.remove()
        self._collector.drop()
        self._afar.drop()
        self._looker.drop()
        self._loss.clear()
        self._loud()

    def _leave(self) -> None:
        self.close("stopped")


def _power_of_two(scale: float | None) -> int:
    """The exponent of a scale that is one; 0 where it is none, and gradients stay scaled."""
    mantissa, exponent = math.frexp(scale or 0.0)
    return exponent - 1 if mantissa == 0.5 else 0


def _forked() -> None:
    """In a child process no thread of ours is there: its copies of the probes do nothing."""
    for probe in list(_live):
        probe.state = "stopped"
        probe._detach()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
