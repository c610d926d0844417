"""``watch``: attaches a probe to a model that trains, and what the probe is asked."""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from torch import Tensor, nn
from torch.optim import Optimizer

from layerscope.engine.diagnosis import SEVERITIES, Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.collecting import Collector
from layerscope.engine.probe.compiled import compiled_modules, quiet_about_global_hooks
from layerscope.engine.probe.hooks import Call, Mode, ModuleHooks
from layerscope.engine.probe.looking import Looker, running_of
from layerscope.engine.probe.origin import (
    backward_origin,
    forward_origin,
    loss_origin,
    run_again,
)
from layerscope.engine.probe.pace import Pace
from layerscope.engine.probe.ring import Ring
from layerscope.engine.probe.step import ModuleStep, Origin, Quantity, Step, Task
from layerscope.engine.probe.stepping import OptimizerHooks
from layerscope.engine.probe.task import baseline_of, task_of
from layerscope.engine.probe.verdicts import findings_of
from layerscope.engine.probe.watched import Leaf, Tracked, Watched, unwrapped
from layerscope.engine.probe.writing import Ending, Figures, Writer
from layerscope.engine.statistics.finite import nonfinite_places

__all__ = ["Probe", "ProbeWarning", "Sink", "TrainingStopped", "watch"]

State = Literal["running", "finished", "stopped", "failed"]


class ProbeWarning(UserWarning):
    """Something about the probe that the user should know; the training goes on."""


class TrainingStopped(Exception):
    """Ends a ``with`` block, and no more than that, at a finding as bad as ``stop_on`` says."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.title)
        self.finding = finding


def _at_least(severity: str, least: str) -> bool:
    return SEVERITIES.index(severity) >= SEVERITIES.index(least)


class Sink(Protocol):
    """Whoever keeps a run; called by the probe's writing thread alone."""

    def modules(self, facts: Sequence[Facts]) -> None:
        """The facts of all modules, in place of those told before."""

    def step(
        self, number: int, loss: float | None, payload: bytes, *, nonfinite: bool = False
    ) -> None:
        """One step, as ``Step.to_bytes`` has it."""

    def findings(self, findings: Sequence[Mapping[str, Any]]) -> None:
        """All findings there are, in place of those told before."""

    def summary(self, summary: Mapping[str, Any]) -> None:
        """What is known of the run as a whole."""

    def finish(self, state: Any) -> None:
        """Nothing more comes."""


_live: weakref.WeakSet[Probe] = weakref.WeakSet()


def watch(
    model: nn.Module,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    *,
    loss: Callable[..., Any] | None = None,
    to: Any = None,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    every: int | None = None,
    budget: float = 0.05,
    scaler: Any = None,
    on_finding: Callable[[Finding], Any] | None = None,
    stop_on: Severity | None = None,
) -> Probe:
    """Watches ``model`` while it trains; the training's bits stay what they would be without.

    Args:
        model: any module; what happens in each of its leaves is recorded.
        optimizer: the one that trains it, or several of them; without one, neither learning rates
            nor updates are known.
        loss: the loss function, called through ``probe.loss`` so that its targets are seen.
        to: where the run is written: None (the store of this folder), ``":memory:"``, a file, an
            SQLAlchemy URL or a server's address.
        name: what people call the run.
        config: what it was made with, to be shown beside it.
        every: records every that-many steps; None lets ``budget`` decide.
        budget: share of the step time that recording may cost.
        scaler: the gradient scaler, so that gradients are reported unscaled.
        on_finding: called by ``probe.step`` with each finding that is new.
        stop_on: the severity from which on a finding ends the ``with`` block.

    Errors: ``TypeError`` or ``ValueError`` for what cannot be watched, at once; nothing later.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> optimizer = torch.optim.SGD(model.parameters(), 0.1)
    >>> with watch(model, optimizer, loss=nn.MSELoss(), to=":memory:") as probe:
    ...     loss = probe.loss(model(torch.ones(5, 4)), torch.zeros(5, 1))
    ...     loss.backward()
    ...     optimizer.step()
    ...     probe.step(loss)
    >>> [facts.name for facts in probe.facts()], len(probe.steps())
    (['0', '1', '2'], 1)
    """
    optimizers = _checked(model, optimizer, every, budget, loss)
    return Probe(model, optimizers, loss, to, name, config, Pace(every, budget), scaler,
                 on_finding, stop_on)  # fmt: skip


def _checked(model: Any, optimizer: Any, every: Any, budget: Any, loss: Any) -> list[Optimizer]:
    """The optimisers, or a sentence on what is wrong."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
    if not any(True for _ in model.parameters()):
        raise ValueError(f"model: {type(model).__name__} has no parameters, so nothing can train")
    if every is not None and (not isinstance(every, int) or every < 1):
        raise ValueError(f"every: expected a number of steps from 1 on, or None, got {every!r}")
    if not isinstance(budget, int | float) or not 0 < budget <= 1:
        raise ValueError(f"budget: expected a share of the step time in (0, 1], got {budget!r}")
    if loss is not None and not callable(loss):
        raise TypeError(f"loss: expected the loss function, got {type(loss).__name__}")
    modules = set(map(id, model.modules()))
    if any(modules & set(other.watched.leaves) for other in _live if other.state == "running"):
        raise ValueError("model: it, or a part of it, is watched already; close that probe first")
    return _optimizers(model, optimizer)


def _optimizers(model: nn.Module, given: Any) -> list[Optimizer]:
    """One, several or none, as a list of those that step."""
    several = given if isinstance(given, list | tuple) else [] if given is None else [given]
    found = []
    for each in several:
        inner = unwrapped(each)
        if inner is None:
            raise TypeError(
                "optimizer: expected a torch.optim.Optimizer or a list of them, "
                f"got {type(each).__name__}"
            )
        found.append(inner)
    own = {id(p) for p in model.parameters()}
    theirs = {id(p) for o in found for g in o.param_groups for p in g["params"]}
    if found and not own & theirs:
        raise ValueError("optimizer: none of its parameters is one of the model's")
    return found


class Probe:
    """A run that is being recorded. Use it as a context manager, or ``close`` it.

    Whatever fails in it ends the recording with one warning, never the training.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        loss: Callable[..., Any] | None,
        to: Any,
        name: str | None,
        config: Mapping[str, Any] | None,
        pace: Pace,
        scaler: Any,
        on_finding: Callable[[Finding], Any] | None,
        stop_on: Severity | None,
    ) -> None:
        self.watched = Watched(model, optimizers)
        self.pace = pace
        self.ring = Ring()
        self.number = 0
        """Steps ended."""
        self.state: State = "running"
        self.error: BaseException | None = None
        """Why it switched itself off."""
        self._loss_function = loss
        self._given_loss: tuple[tuple[Any, ...], dict[str, Any]] = (), {}
        """What the loss function was last called with in this step, through the probe."""
        self._said_loss: Tensor | None = None
        """What it returned."""
        self._task: Task | None = None
        self._baseline: float | None = None
        self._scaler = scaler
        self._on_finding = on_finding
        self._stop_on = stop_on
        self._reported: dict[str, str] = {}
        """Rules told to ``on_finding``, with their severity then."""
        self._scale: float | None = None
        """By which the scaler multiplies this step's loss."""
        self._told: set[str] = set()
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._sink = _sink(to, name, config)
        self._sent: list[Any] = []
        self._looker = Looker()
        self.origin: Origin | None = None
        """Of the first NaN or infinity of the training."""
        self._new: Origin | None = None
        self._writer = Writer(self.watched, self._deliver, self._failed)
        self._collector = Collector(self._writer.put)
        self._optimizers = OptimizerHooks(
            self.watched, self._collector, self._writer, self._failed, self._before_update
        )
        self._modules = ModuleHooks(
            self.watched, self._collector, self._failed, self._looker.look,
            self._optimizers.backward_begins, self._optimizers.backward_ended, self._found,
        )  # fmt: skip
        self._compiled = compiled_modules(model)
        if self._compiled:
            self._quiet = quiet_about_global_hooks()
            self._tell("compiled", f"{', '.join(self._compiled)} is compiled: what happens inside "
                       "is not seen; parameters, gradients, updates and the loss are")  # fmt: skip
        _live.add(self)
        atexit.register(self._leave)
        self._at = time.perf_counter()
        self._begin()

    # What the user calls

    def loss(self, *args: Any, **kwargs: Any) -> Any:
        """The loss function of ``watch``, called; the same value."""
        if self._loss_function is None:
            raise ValueError("loss: give the loss function to `watch` to call it through the probe")
        if self._modules.mode is Mode.RECORD:
            self._ask_of_the_loss(args)
        value = self._loss_function(*args, **kwargs)
        if self.state == "running" and self.error is None:
            self._given_loss = args, kwargs
            self._said_loss = value.detach() if isinstance(value, Tensor) else None
        return value

    def _ask_of_the_loss(self, given: tuple[Any, ...]) -> None:
        try:
            if self._loss_function is not None:
                self._task = task_of(self._loss_function, given)
                self._baseline = baseline_of(self._loss_function, given)
        except Exception as error:
            self._failed(error)

    def step(self, loss: Any = None) -> None:
        """A step of the training has ended; to be called once, after the optimiser's.

        Args:
            loss: its value, a number or a tensor of one entry; None where there is none.
        """
        if self.state != "running" or self.error is not None or os.getpid() != self._process:
            return
        new: list[Finding] = []
        try:
            asked = self._on_finding is not None or self._stop_on is not None
            asks = asked and (self._modules.looks or self.origin is not None)
            self._step(loss)
            new = self._news() if asks else []
        except Exception as error:
            self._failed(error)
        for finding in new:
            if self._on_finding is not None:
                self._on_finding(finding)
            if self._stop_on and _at_least(finding.severity, self._stop_on):
                raise TrainingStopped(finding)

    def _news(self) -> list[Finding]:
        """Findings that are new, or worse than they were."""
        new = [
            f for f in self.findings()
            if f.rule not in self._reported
            or not _at_least(self._reported[f.rule], f.severity)
        ]  # fmt: skip
        self._reported.update({f.rule: f.severity for f in new})
        return new

    def findings(self) -> list[Finding]:
        """What is wrong with the training so far, most severe first."""
        self._writer.wait()
        return findings_of(self.ring, self.origin, bool(self.watched.optimizers))

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

    def close(self, state: Literal["finished", "stopped", "failed"] = "finished") -> None:
        """Removes every hook, writes what is left, and says how the run ended."""
        with self._lock:
            if self.state != "running":
                return
            self.state = state
        self._detach()
        if os.getpid() != self._process:
            return
        self._writer.close()
        with contextlib.suppress(Exception):
            self._sink.findings([f.to_dict() for f in self.findings()])
            self._sink.summary({"cost": self.cost()})
            self._sink.finish(state)
        atexit.unregister(self._leave)
        _live.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        stopped = kind is not None and issubclass(
            kind, KeyboardInterrupt | SystemExit | TrainingStopped
        )
        self.close("finished" if kind is None else "stopped" if stopped else "failed")
        return isinstance(error, TrainingStopped)

    def __deepcopy__(self, memo: dict[int, Any]) -> Probe:
        return self  # a probe watches one model, whoever copies what refers to it

    # A step

    def _begin(self) -> None:
        """Sets what is done in the step that begins."""
        self._scale = None if self._scaler is None else float(self._scaler.get_scale())
        records = self.pace.records(self.number + 1)
        between = Mode.LOOK_OUT if self.pace.looks_out else Mode.OFF
        mode = Mode.RECORD if records else between
        if records:
            self.watched.refresh()
            self._modules.looks = self._looker.wanted()
        self._modules.mode = mode
        self._modules.checks = self.pace.checks or self.origin is not None
        self._optimizers.begin(Mode.RECORD if records else Mode.LOOK_OUT)

    def _step(self, loss: Any) -> None:
        began = time.perf_counter()
        value = self._value(loss)
        calls = self._modules.calls
        self._examine_loss(value)
        if not self._optimizers.taken:
            self._without_update(bool(calls))
        self.number += 1
        if value is not None:
            self.ring.loss(self.number, value)
        recorded = self._modules.mode is Mode.RECORD
        called = len(calls)
        if recorded or self._new is not None:
            self._end_record(value)
        size = self._modules.bytes
        self._modules.end_step()
        self._optimizers.end()
        self._given_loss, self._said_loss = ((), {}), None
        self._task = self._baseline = None
        now = time.perf_counter()
        self.pace.ended(self.number, now - self._at, recorded, called, size)
        self._at = now
        self._begin()
        self.pace.own_seconds += time.perf_counter() - began

    def _end_record(self, loss: float | None) -> None:
        self._collector.flush()
        self.watched.place_the_rest()
        modules = [self._said(leaf) for leaf in self.watched.order if leaf.calls]
        ending = Ending(
            self.number, time.time(), loss, list(self._optimizers.learning_rates), modules,
            skipped=self._scaler is not None and not self._optimizers.taken,
            clipped=self._optimizers.changes_gradients, origin=self._new,
            scale=self._scale, shift=_power_of_two(self._scale),
            stale=self._optimizers.stale, baseline=self._baseline, task=self._task,
        )  # fmt: skip
        self._new = None
        self._writer.put(ending)

    def _said(self, leaf: Leaf) -> ModuleStep:
        module = leaf.module
        look = self._looker.take(leaf)
        training = module.training if leaf.kind.mode else None
        running = running_of(module) if look is not None and leaf.kind.running else None
        return ModuleStep(leaf.index, tuple(leaf.shape), leaf.calls, training, running, look)

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

    # The first value that is not finite

    def _found(self, call: Call) -> None:
        if self.origin is None:
            first = len(self._modules.calls) == 1
            self._began(forward_origin(self.number + 1, call, first))

    def _before_update(self, mine: Sequence[Tracked]) -> None:
        """Before an optimiser's step: bad gradients are seen while the parameters are good yet."""
        if self.origin is not None or self._scaler is not None:
            return
        with_gradient = [t for t in mine if t.parameter.grad is not None]
        bad = nonfinite_places([g for t in mine if (g := t.parameter.grad) is not None])
        if not bad and self._modules.bad_gradient is None:
            return
        step, again = self.number + 1, None
        if not self._modules.checks:
            again = self._again()
        said = self._said_loss
        if again is None and said is not None and said.numel() == 1:
            again = self._of_the_loss(float(said))
        self._began(
            again
            or backward_origin(
                step, self._modules.bad_gradient, [with_gradient[i] for i in bad],
                self._modules.calls,
            )
        )  # fmt: skip

    def _examine_loss(self, loss: float | None) -> None:
        if loss is not None and self.origin is None and not math.isfinite(loss):
            again = None if self._modules.checks else self._again()
            if (origin := again or self._of_the_loss(loss)) is not None:
                self._began(origin)

    def _of_the_loss(self, loss: float) -> Origin | None:
        """None where it is finite."""
        if math.isfinite(loss):
            return None
        return loss_origin(self.number + 1, loss, self._loss_function, *self._given_loss)

    def _again(self) -> Origin | None:
        """The forward pass once more, where nobody looked at every output."""
        given = self._modules.given
        with contextlib.suppress(Exception):  # a model that can't be copied, or called twice
            return given and run_again(self.number + 1, self.watched, given)
        return None

    def _began(self, origin: Origin) -> None:
        self.origin = self._new = origin

    # The writing thread

    def _deliver(self, figures: Figures) -> None:
        facts = self.watched.facts()
        if facts != self._sent:
            self._sent = facts
            self.ring.modules(facts)
            self._sink.modules(facts)
        ending = figures.ending
        self.ring.add(ending.number, figures.payload)
        self._sink.step(
            ending.number, ending.loss, figures.payload,
            nonfinite=bool(figures.nonfinite) or not math.isfinite(ending.loss or 0.0),
        )  # fmt: skip
        for key in figures.dropped:
            key.at_once = True
            if key.quantity is Quantity.PARAMETER_GRADIENT:
                self._optimizers.gradients_changed()

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
        self._modules.remove()
        self._optimizers.remove()
        if self._compiled:
            self._quiet()

    def _tell(self, kind: str, sentence: str) -> None:
        if kind in self._told:
            return
        self._told.add(kind)
        try:
            warnings.warn(f"layerscope: {sentence}", ProbeWarning, stacklevel=5)
        except ProbeWarning as warning:  # warnings are errors here, but this one ends no training
            sys.stderr.write(f"{warning}\n")

    def _leave(self) -> None:
        self.close("stopped")


def _power_of_two(scale: float | None) -> int:
    """The exponent of a scale that is one; 0 where it is none, and gradients stay scaled."""
    mantissa, exponent = math.frexp(scale or 0.0)
    return exponent - 1 if mantissa == 0.5 else 0


def _sink(to: Any, name: str | None, config: Mapping[str, Any] | None) -> Sink:
    if to == ":memory:":
        return _Nowhere()
    from layerscope.engine.store import open_run

    return open_run(to, name, config)


class _Nowhere:
    """The ring is enough."""

    def modules(self, facts: Sequence[Facts]) -> None: ...

    def step(
        self, number: int, loss: float | None, payload: bytes, *, nonfinite: bool = False
    ) -> None: ...

    def findings(self, findings: Sequence[Mapping[str, Any]]) -> None: ...

    def summary(self, summary: Mapping[str, Any]) -> None: ...

    def finish(self, state: Any) -> None: ...


def _forked() -> None:
    """In a child process no thread of ours is there: its copies of the probes do nothing."""
    for probe in list(_live):
        probe.state = "stopped"
        probe._detach()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
