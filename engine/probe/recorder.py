"""The tensors of a training's steps: every hook there is, and what they see, step by step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from layerscope.engine.probe.accelerator import Afar
from layerscope.engine.probe.asking import AskedLoss
from layerscope.engine.probe.backward import BackwardPasses
from layerscope.engine.probe.collecting import Collector
from layerscope.engine.probe.first_bad import FirstBad
from layerscope.engine.probe.given_away import InputsReader
from layerscope.engine.probe.graph.loss import made_of, uniform_answer
from layerscope.engine.probe.graph.reader import GraphReader
from layerscope.engine.probe.hooks import Mode, ModuleHooks
from layerscope.engine.probe.looking import Looker, running_of
from layerscope.engine.probe.noted import Gradients
from layerscope.engine.probe.pace import Pace
from layerscope.engine.probe.step import MadeOf, ModuleStep, Oddity, Step
from layerscope.engine.probe.stepping import OptimizerHooks
from layerscope.engine.probe.watched import Leaf, Watched
from layerscope.engine.probe.writing import Ending, Writer

__all__ = ["Recorder"]

DROPPING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
"""What sets a share of ``p`` to zero."""
MAY_DROP = (*DROPPING, nn.RNNBase)
"""Those, and what may do so between layers of its own."""


class Recorder:
    """Sees the modules' calls, the backward passes and the optimisers' steps.

    ``by_parameters``: the modules may not tell of every backward pass, so that parameters are
    asked from the first step on; else from when none was seen.
    """

    def __init__(
        self,
        watched: Watched,
        writer: Writer,
        loss: AskedLoss,
        scaler: Any,
        bad: FirstBad,
        failed: Callable[[BaseException], None],
        *,
        by_parameters: bool,
    ) -> None:
        self.afar = Afar()
        self.looker = Looker(self.afar, writer.put)
        self._watched = watched
        self._writer = writer
        self._loss = loss
        self._scaler = scaler
        self._scale: float | None = None
        """By which the scaler multiplies this step's loss."""
        self._bad = bad
        self._by_parameters = by_parameters
        self._graphs = GraphReader(watched.name_of)
        self._inputs = InputsReader()
        self._collector = Collector(writer.put, self.afar.take)
        self.optimizers = OptimizerHooks(
            watched, self._collector, writer, self.afar, failed, self._before_update
        )
        self._passes = BackwardPasses(self._backward_begins, self.optimizers.backward_ended, failed)
        self.modules = ModuleHooks(
            watched, self._collector, failed, self.looker.look, self._passes, bad.in_call,
            always=by_parameters,
        )  # fmt: skip

    @property
    def records(self) -> bool:
        """Whether this step is recorded."""
        return self.modules.mode is Mode.RECORD

    def begin(self, number: int, pace: Pace) -> None:
        """Sets what is done in step ``number``, which begins."""
        records = pace.records(number)
        between = Mode.LOOK_OUT if pace.looks_out else Mode.OFF
        if records:
            self._watched.refresh()
            if self._by_parameters:
                self._passes.ask(t.parameter for t in self._watched.tracked.values())
            self._scale = None if self._scaler is None else float(self._scaler.get_scale())
        self.modules.looks = records and self.looker.wanted()
        self.modules.mode = Mode.RECORD if records else between
        self.modules.checks = pace.checks and self._bad.origin is None
        self.optimizers.begin(
            Mode.RECORD if records else Mode.LOOK_OUT, next_recorded=pace.records_after(number)
        )

    def write(self, number: int, loss: float | Tensor | None, given: Any = None) -> None:
        """Hands the step on, as it is complete; a loss that is a tensor lies on an accelerator.
        ``given``: as the user gave it, in a step that looks closer, for its graph."""
        made = made_of(given)
        if isinstance(loss, Tensor):
            self.afar.number(loss, self._writer.late_loss)
            loss = None
        self._collector.flush()
        self.looker.flush()
        self._watched.place_the_rest()
        optimizers, idle = self.optimizers, self._watched.idle()
        step = Step(
            number=number, time=time.time(), loss=loss,
            learning_rates=optimizers.learning_rates, slots=[], statistics=[],
            modules=[self._said(leaf) for leaf in self._watched.order if leaf.calls],
            skipped=self._scaler is not None and not optimizers.taken,
            scale=self._scale, baseline=self._baseline(made), origin=self._bad.told(),
            task=self._loss.task, idle=len(idle), hidden=self._watched.unseen(),
            idle_shapes=tuple(idle), full_rate=self._watched.full_rate(), made_of=made,
            oddities=self._oddities(given, made),
            groups=self._watched.groups() if self.modules.looks else (),
            in_training=self._watched.model.training, unstepped=optimizers.unstepped(),
        )  # fmt: skip
        for rate, tell in optimizers.late_rates:
            self.afar.number(rate, tell)
        optimizers.staleness.tell(step)
        for fetched in self.afar.ended():
            self._writer.put(fetched)
        clipped = optimizers.gradients.changed_before
        self._writer.put(Ending(step, clipped, _power_of_two(self._scale)))

    def end(self) -> None:
        """The step has ended: nothing of it is held."""
        if self.records and self.optimizers.taken and not self._passes.seen:
            self._by_parameters = True
        self.modules.end_step()
        self._passes.end_step()
        self.optimizers.end()
        self._loss.clear()

    def remove(self) -> None:
        """Leaves no hook anywhere, and nothing of the training held."""
        self.modules.remove()
        self._passes.end_step()
        self.optimizers.remove()
        self._collector.drop()
        self.afar.drop()
        self.looker.drop()
        self._loss.clear()

    def _oddities(self, loss: Any, made: MadeOf | None) -> tuple[Oddity, ...]:
        if loss is None:
            return ()
        asked, modules = self._loss.given, self.modules
        target = asked[1] if len(asked) == 2 else None
        of_inputs = self._inputs.read(modules.given, target, modules.attended, made)
        last = next((each for each in reversed(self._watched.order) if each.shape), None)
        return (*self._graphs.read(loss, last.shape[0] if last else 0), *of_inputs)

    def _baseline(self, made: MadeOf | None) -> float | None:
        return uniform_answer(made) if self._loss.constant is None else self._loss.constant

    def _backward_begins(self) -> None:
        self.looker.flush()
        self.optimizers.backward_begins()

    def _said(self, leaf: Leaf) -> ModuleStep:
        module, look, before = leaf.module, self.looker.take(leaf), leaf.said
        if (
            before is not None and look is None and before.calls == leaf.calls
            and before.shape == leaf.shape
        ):  # fmt: skip
            return before
        training = module.training if leaf.kind.mode else None
        running = running_of(module) if look is not None and leaf.kind.running else None
        drops = None
        if module.training and isinstance(module, DROPPING) and isinstance(module.p, int | float):
            drops = float(module.p)
        elif module.training and isinstance(module, nn.RNNBase) and module.num_layers > 1:
            drops = float(module.dropout)
        said = ModuleStep(leaf.index, tuple(leaf.shape), leaf.calls, training, running, look, drops)
        plain = look is None and not leaf.kind.mode and not isinstance(module, MAY_DROP)
        leaf.said = said if plain else None
        return said

    def _before_update(self, gradients: Gradients | None) -> None:
        if self._scaler is None:  # else gradients may overflow: then the step is left out
            self._bad.before_update(gradients, self.modules)


def _power_of_two(scale: float | None) -> int:
    """The exponent of a scale that is one; 0 where it is none, and gradients stay scaled."""
    mantissa, exponent = math.frexp(scale or 0.0)
    return exponent - 1 if mantissa == 0.5 else 0
