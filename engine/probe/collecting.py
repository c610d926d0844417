"""Collecting the tensors of one step: in the hooks a key, a reference and a version, no more.

Whether a tensor was changed in place between the hook and the reading is told by its version
counter. A module whose tensors were is read in the hook from then on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from operator import attrgetter, eq

from torch import Tensor

from layerscope.engine.probe.watched import Key
from layerscope.engine.statistics.device import all_here, readable_there
from layerscope.engine.statistics.many import Answers, Reader, Words

__all__ = ["BATCH", "Batch", "Collector", "Reading"]

BATCH = 160
"""Tensors that one compiled call reads: fewer, and two threads fight for the interpreter's lock
more often; more, and the first have left the cache (measured over 64 to 420)."""
BATCH_BYTES = 1 << 21
"""Bytes in the CPU's memory that it reads, the last tensor left out: what waits to be read is
memory that the training cannot use again, and cold memory costs it more than a call (measured over
1 to 1,000 MB)."""
_version = attrgetter("_version")


class Reading:
    """Answers about tensors, and which tensor each is about; None for one that had changed, which
    is ``dropped``."""

    def __init__(
        self, keys: Sequence[Key | None], answers: Answers, dropped: Sequence[Key] = ()
    ) -> None:
        self.keys = keys
        self.answers = answers
        self.dropped = dropped


class Batch:
    """Tensors to be read by one call, as they were when they were added."""

    def __init__(self, subtracts: bool = False) -> None:
        self.keys: list[Key] = []
        self.tensors: list[Tensor] = []
        self.versions: list[int] = []
        self.snapshots: list[Tensor | None] = []
        self.subtracts = subtracts
        self.table: Words | None = None
        """Of ``ordinary_table``, where the same tensors are read in every step."""
        self._done: threading.Event | None = None

    def add(self, key: Key, tensor: Tensor) -> None:
        """One more tensor, to be read later."""
        self.keys.append(key)
        self.tensors.append(tensor)
        self.versions.append(tensor._version)

    def parted(self, elsewhere: Callable[[Sequence[Key], Sequence[Tensor]], None]) -> Batch:
        """What of it lies here; the rest is given away, without what has changed since it was
        added: that is read at once from now on."""
        here, keys, tensors = Batch(), [], []
        for key, tensor, version in zip(self.keys, self.tensors, self.versions, strict=True):
            if not readable_there(tensor):
                here.keys.append(key)
                here.tensors.append(tensor)
                here.versions.append(version)
            elif tensor._version == version:
                keys.append(key)
                tensors.append(tensor)
            else:
                key.at_once = True
        elsewhere(keys, tensors)
        return here

    def awaited(self) -> threading.Event:
        """An event that is set once all has been read."""
        self._done = threading.Event()
        return self._done

    def read(self, reader: Reader) -> Reading:
        """Reads all; what has changed since it was added has no key."""
        try:
            return self._read(reader)
        finally:
            if self._done is not None:
                self._done.set()

    def _read(self, reader: Reader) -> Reading:
        snapshots = self.snapshots or None
        answers = reader.read(self.tensors, snapshots, self.subtracts, self.table)
        now = list(map(_version, self.tensors))
        if now == self.versions:
            return Reading(self.keys, answers)
        same = list(map(eq, now, self.versions))
        keys = [key if kept else None for key, kept in zip(self.keys, same, strict=True)]
        dropped = [key for key, kept in zip(self.keys, same, strict=True) if not kept]
        return Reading(keys, answers, dropped)


class Collector:
    """The tensors of the step that is being recorded, on their way to whoever reads them."""

    def __init__(
        self,
        hand_over: Callable[[Batch | Reading], None],
        elsewhere: Callable[[Sequence[Key], Sequence[Tensor]], None],
    ) -> None:
        self._hand_over = hand_over
        self._elsewhere = elsewhere
        self._reader = Reader()
        self._batch = Batch()
        self._bytes = 0

    def add(self, key: Key, tensor: Tensor) -> None:
        """To be read later, by another thread."""
        batch = self._batch
        batch.keys.append(key)
        batch.tensors.append(tensor)
        batch.versions.append(tensor._version)
        if tensor.is_cpu:
            self._bytes += tensor.nbytes
        if self._bytes > BATCH_BYTES or len(batch.keys) >= BATCH:
            self.flush()

    def add_all(
        self, keys: list[Key], tensors: list[Tensor], versions: list[int], table: Words | None
    ) -> None:
        """The same of several, as a batch of their own; of ``table`` see ``Batch``."""
        self.flush()
        batch = Batch()
        batch.keys, batch.tensors, batch.versions, batch.table = keys, tensors, versions, table
        if table is None and not all_here(tensors):
            batch = batch.parted(self._elsewhere)
        if batch.keys:
            self._hand_over(batch)

    def read_now(self, keys: Sequence[Key], tensors: Sequence[Tensor]) -> None:
        """Read before anything else happens."""
        if keys and all_here(tensors):
            self._hand_over(Reading(list(keys), self._reader.read(tensors)))
        elif keys:
            batch = Batch()
            for key, tensor in zip(keys, tensors, strict=True):
                batch.add(key, tensor)
            here = batch.parted(self._elsewhere)
            if here.keys:
                self._hand_over(here.read(self._reader))

    def flush(self) -> None:
        """Hand over what has been collected."""
        self._bytes = 0
        if self._batch.keys:
            batch, self._batch = self._batch, Batch()
            if not all_here(batch.tensors):
                batch = batch.parted(self._elsewhere)
            if batch.keys:
                self._hand_over(batch)

    def drop(self) -> None:
        """Let go of what has been collected."""
        self._batch, self._bytes = Batch(), 0
