"""Statistics of many small tensors, read on another thread while who made them goes on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from torch import Tensor

from layerscope.engine.statistics.activity import Units, UnitsReading, units
from layerscope.engine.statistics.many import Reader, ordinary_table, table_of
from layerscope.engine.statistics.measure import statistics, told
from layerscope.engine.statistics.ordinary import is_ordinary
from layerscope.engine.statistics.reading import helpers
from layerscope.engine.statistics.record import Statistics

__all__ = ["AtOnce", "Batch", "Known", "Read", "readable"]


class Read(Protocol):
    """Who is asked for a tensor's statistics."""

    def statistics(self, tensor: Tensor) -> Statistics:
        """As `layerscope.engine.statistics.statistics` says."""
        ...

    def units(self, activation: Tensor, axis: int) -> Units:
        """As `layerscope.engine.statistics.units` says."""
        ...


class AtOnce:
    """Reads whatever is asked for when it is asked for."""

    def statistics(self, tensor: Tensor) -> Statistics:
        return statistics(tensor)

    def units(self, activation: Tensor, axis: int) -> Units:
        return units(activation, axis)


class Known:
    """Remembers what was read, as long as it is told to, and reads what was not.

    >>> import torch
    >>> x = torch.ones(2)
    >>> known = Known()
    >>> known.statistics(x) is known.statistics(x)
    True
    """

    def __init__(self) -> None:
        self._statistics: dict[int, tuple[Tensor, Statistics]] = {}
        self._units: dict[int, tuple[Tensor, Units]] = {}

    def statistics(self, tensor: Tensor) -> Statistics:
        found = self._statistics.get(id(tensor))
        if found is None:
            found = self._statistics[id(tensor)] = tensor, statistics(tensor)
        return found[1]

    def units(self, activation: Tensor, axis: int) -> Units:
        """``axis`` is 1 where they are remembered."""
        found = self._units.get(id(activation))
        return units(activation, axis) if found is None or axis != 1 else found[1]

    def has(self, tensor: Tensor) -> bool:
        """Whether its statistics are remembered."""
        return id(tensor) in self._statistics

    def remember(self, batch: Batch) -> None:
        """What a batch has read; waits for it."""
        for tensor, figures in zip(batch.tensors, batch.statistics(), strict=True):
            self._statistics[id(tensor)] = tensor, figures
        for activation, found in zip(batch.activations, batch.units(), strict=True):
            self._units[id(activation)] = activation, found

    def forget_all_but(self, tensor: Tensor | None) -> None:
        """Lets go of every other tensor, and of all units."""
        self._units.clear()
        kept = None if tensor is None else self._statistics.get(id(tensor))
        self._statistics.clear()
        if kept is not None:
            self._statistics[id(tensor)] = kept


class Batch:
    """Some tensors, read by two compiled calls without the interpreter's lock: on another thread,
    where the process may use another core.

    Args:
        tensors: whose statistics are asked for, once; none is so large that several threads read
            it. Nobody writes into one before ``statistics`` was asked.
        activations: (batch, width), whose units are asked for; as the kernels read them.
        reader: a memory for reading that no other batch uses meanwhile.

    >>> import torch
    >>> x = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    >>> batch = Batch([x], [x], Reader())
    >>> [figures], [found] = batch.statistics(), batch.units()
    >>> figures == statistics(x), found == units(x)
    (True, True)
    """

    def __init__(
        self, tensors: Sequence[Tensor], activations: Sequence[Tensor], reader: Reader
    ) -> None:
        self.tensors, self.activations = tensors, activations
        table, self._copies = ordinary_table(tensors, None, subtracts=False), list[Tensor]()
        if table is None:
            table, self._copies = table_of(tensors)
        self._table, self._reader = table, reader
        self._units = UnitsReading(activations)
        reader.prepare(table)
        self._used: Future[int] | int
        self._used = helpers().submit(self._read) if SEVERAL_CORES else self._read()

    def _read(self) -> int:
        if self.activations:
            self._units.read()
        return self._reader.fill(self._table)

    def _done(self) -> int:
        if isinstance(self._used, Future):
            self._used = self._used.result()
        return self._used

    def statistics(self) -> list[Statistics]:
        """Of every tensor, in their order; waits until they are read."""
        answers = self._reader.answers(self._table, self._done())
        begins, sizes, lowest = answers.parts, self._table[:, 1], answers.lowest
        rows = zip(begins.tolist(), sizes.tolist(), lowest.tolist(), strict=True)
        return [told(answers.arena, *row) for row in rows]

    def units(self) -> list[Units]:
        """Of every activation likewise."""
        self._done()
        return [found for found, _ in self._units.told()]


def readable(activation: Tensor) -> bool:
    """Whether a batch can be asked for its units."""
    return activation.dim() == 2 and is_ordinary(activation)


def _cores() -> int:
    """That the process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


SEVERAL_CORES = _cores() > 1
