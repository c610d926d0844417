"""The passes' steps, handed on once another core than that of the passes has read their tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import cycle

from torch import Tensor

from layerscope.engine.execution.passes import BackwardStep, ForwardStep, LossStep, Step
from layerscope.engine.layers import Activation
from layerscope.engine.statistics.ahead import Batch, Known, readable
from layerscope.engine.statistics.many import Reader

__all__ = ["AT_ONCE", "LATE_BYTES", "has_units", "read_ahead"]

AT_ONCE = 1 << 19
"""Entries that are read by one call: half a millisecond's worth. A step of more is read by itself,
when its statistics are asked for."""
LATE_BYTES = 16 * 2**20
"""Of the tensors that live for longer because they are still to be read: at most those of two
batches."""


def has_units(step: ForwardStep) -> bool:
    """Whether the units of a step's output are looked at: where a block ends, or an activation."""
    return step.info.ends_block or isinstance(step.layer, Activation)


def read_ahead(steps: Iterable[Step], known: Known) -> Iterator[Step]:
    """The same steps in the same order, each as soon as ``known`` has its tensors' statistics.

    While some steps' tensors are read the passes go on: a step comes a few small layers late, and
    its tensors are kept until then.
    """
    readers = cycle((Reader(), Reader()))  # one batch is read while another's answers are
    reading, waiting = _Several(), _Several()
    for step in steps:
        if waiting.add(step):
            if waiting.entries >= AT_ONCE:
                waiting.begin(next(readers))
                yield from reading.handed_on(known)
                reading, waiting = waiting, _Several(waiting.handed)
            continue
        waiting.begin(next(readers))
        yield from reading.handed_on(known)
        yield from waiting.handed_on(known)
        yield step
        handed = step.by_input if isinstance(step, BackwardStep) else None
        if handed is not None and not known.has(handed):
            handed = None
        known.forget_all_but(handed)
        reading, waiting = _Several(), _Several(handed)
    waiting.begin(next(readers))
    yield from reading.handed_on(known)
    yield from waiting.handed_on(known)


@dataclass(slots=True)
class _Several:
    """Consecutive steps, which keep their tensors, and what is to be read of them."""

    handed: Tensor | None = None
    """The gradient that the newest step back handed on, which somebody reads."""
    steps: list[Step] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    activations: list[Tensor] = field(default_factory=list)
    entries: int = 0
    batch: Batch | None = None

    def add(self, step: Step) -> bool:
        """Takes a step that holds the same as ``step`` holds now; not one that is too large."""
        own: Step
        if isinstance(step, LossStep):
            own, tensors = step, []
        elif isinstance(step, ForwardStep):
            own = ForwardStep(step.info, step.layer, step.x, step.output, step.skip)
            tensors = [step.output, *step.layer.parameters.values()]
        else:
            layer = step.layer.as_it_is()
            own = BackwardStep(step.info, layer, step.gradient, step.by_input, step.shortcut)
            tensors = list(layer.gradients.values())
            if step.info.index:  # nobody asks for the gradient by the network's input
                tensors.append(step.by_input)
            if step.gradient is not self.handed:
                tensors.append(step.gradient)
        entries = sum(map(Tensor.numel, tensors))
        if entries > AT_ONCE:
            return False
        if isinstance(own, BackwardStep):
            self.handed = own.by_input
        elif isinstance(own, ForwardStep) and has_units(own) and readable(own.output):
            self.activations.append(own.output)
        self.steps.append(own)
        self.tensors += tensors
        self.entries += entries
        return True

    def begin(self, reader: Reader) -> None:
        """To read."""
        if self.steps:
            self.batch = Batch(self.tensors, self.activations, reader)

    def handed_on(self, known: Known) -> Iterator[Step]:
        """The steps, once they are read; nothing where it did not begin."""
        if self.batch is not None:
            known.remember(self.batch)
            yield from self.steps
            known.forget_all_but(self.handed)
