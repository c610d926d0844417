"""The thread that reads and writes, so that the one that trains need not."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from layerscope.engine.execution.masks import Output, can_mask, healthy_masks
from layerscope.engine.probe.accelerator import Fetched
from layerscope.engine.probe.collecting import Batch, Reading
from layerscope.engine.probe.live import Live
from layerscope.engine.probe.outputs import has_parameters
from layerscope.engine.probe.step import Quantity, Step
from layerscope.engine.probe.watched import Key, Watched
from layerscope.engine.statistics.many import Answers, Reader
from layerscope.engine.statistics.packing import FIGURES

__all__ = ["TOGETHER", "Ending", "Layout", "Recorded", "Writer"]

TOGETHER = frozenset({Quantity.ACTIVATION, Quantity.GRADIENT, Quantity.INPUT})
"""What several calls of a module add to; of everything else the last one counts."""
COUNT, FINITE, NAN, POSINF = map(FIGURES.index, ("count", "finite", "nan", "posinf"))
UNSCALED = frozenset({Quantity.GRADIENT, Quantity.UNCLIPPED})
"""What a gradient scaler has multiplied."""


class Ending(msgspec.Struct):
    """A step that has ended: ``step`` is all that is known of it beside its tensors."""

    step: Step
    clipped: bool = False
    """Whether anything changed gradients between backward pass and optimiser."""
    shift: int = 0
    """The scale's power of two, by which gradients are divided."""


class Recorded(msgspec.Struct):
    """A step as it goes to whoever keeps it: its bytes, and its tensors' figures."""

    step: Step
    """Without slots and statistics."""
    payload: bytes
    keys: list[Key]
    figures: NDArray[np.float64]
    """A row a key, in the order of ``FIGURES``."""
    dropped: list[Key]
    """What could not be read in time."""
    from_afar: bool
    """Whether figures have come from an accelerator."""
    late_loss: bool
    """Whether the loss has come with them."""

    @property
    def nonfinite(self) -> list[Key]:
        """The tensors with a NaN or an infinity, in the order in which they came to be."""
        bad = np.flatnonzero(self.figures[:, FINITE] < self.figures[:, COUNT])
        return [self.keys[i] for i in bad]

    def masks(self) -> set[Key]:
        """Of the outputs those that are a mask's, whose minus infinities have gone no further."""
        if not any(_may_mask(key) for key in self.nonfinite):
            return set()
        activations = [
            (key.leaf.index, place) for place, key in enumerate(self.keys)
            if key.quantity is Quantity.ACTIVATION
        ]  # fmt: skip
        places = [place for _, place in sorted(activations)]
        outputs = [
            Output(count, finite, nan + posinf, _may_mask(self.keys[place]))
            for place, (count, finite, nan, posinf) in zip(
                places, self.figures[places][:, [COUNT, FINITE, NAN, POSINF]].tolist(), strict=True
            )
        ]
        loss, bad = self.step.loss, {key.quantity for key in self.nonfinite}
        finite = (loss is None or math.isfinite(loss)) and bad <= {Quantity.ACTIVATION}
        return {self.keys[places[i]] for i in healthy_masks(outputs, fares_well=finite)}


def _may_mask(key: Key) -> bool:
    leaf = key.leaf
    return key.quantity is Quantity.ACTIVATION and can_mask(
        leaf.kind.role, parameters=has_parameters(leaf.module)
    )


_encoder = msgspec.msgpack.Encoder()


class Layout:
    """Which of a step's answers belong together; mostly the same from one step to the next."""

    def __init__(self, seen: list[Key | None], clipped: bool) -> None:
        self._seen = seen
        self._clipped = clipped
        groups: dict[Key, list[int]] = {}
        for place, key in enumerate(seen):
            if key is None or key.leaf.index < 0:
                continue
            if not clipped and key.quantity is Quantity.UNCLIPPED:
                continue
            if key in groups and key.quantity in TOGETHER:
                groups[key].append(place)
            else:
                groups[key] = [place]
        self.keys = list(groups)
        self.order = np.array([i for places in groups.values() for i in places], np.int64)
        self.starts = np.cumsum([0, *map(len, groups.values())])
        self.unscaled = np.array([key.quantity in UNSCALED for key in self.keys], np.int64)
        self.slots = _encoder.encode([Watched.slot(key) for key in self.keys])

    def differs(self, seen: list[Key | None], clipped: bool) -> bool:
        """Whether these answers are about other tensors, or in another order."""
        return seen != self._seen or clipped != self._clipped


class Writer:
    """Takes readings, batches and endings in order; hands on each step that is complete.

    ``deliver`` and ``failed`` are called by the writer's own thread.
    """

    def __init__(
        self,
        watched: Watched,
        deliver: Callable[[Recorded], None],
        failed: Callable[[BaseException], None],
        live: Live,
    ) -> None:
        self._watched = watched
        self._live = live
        self._deliver = deliver
        self._failed = failed
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._reader = Reader()
        self._readings: list[Reading] = []
        self._dropped: list[Key] = []
        self._from_afar = False
        self._loss: float | None = None
        """Of the step that is coming, where it lay on an accelerator."""
        self._layout: Layout | None = None
        self._thread = threading.Thread(target=self._work, name="layerscope probe", daemon=True)
        self._thread.start()

    def put(self, item: Batch | Reading | Fetched | Ending | Callable[[], None]) -> None:
        """Takes one more; returns at once. A function is called when its turn comes."""
        self._queue.put(item)

    def late_loss(self, value: float) -> None:
        """The loss of the step that is coming has come from an accelerator; by this thread."""
        self._loss = value

    def wait(self, timeout: float | None = None) -> bool:
        """Until everything put so far is done; False if that took longer than ``timeout``."""
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            return True
        done = threading.Event()
        self._queue.put(done.set)
        return done.wait(timeout)

    def close(self) -> None:
        """Finishes what has been put, and ends the thread.

        A daemon thread inside compiled code when the interpreter ends would abort the process.
        """
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._queue.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (item := self._next()) is not None:
            try:
                self._take(item)
            except BaseException as error:
                self._readings.clear()
                self._failed(error)
            del item  # it holds the graph of a step

    def _next(self) -> Any:
        """What comes next, or what is due meanwhile."""
        try:
            return self._queue.get(timeout=self._live.due())
        except queue.Empty:
            return self._live.judge

    def _take(self, item: Any) -> None:
        if isinstance(item, Batch):
            reading = item.read(self._reader)
            self._readings.append(reading)
            self._dropped += reading.dropped
        elif isinstance(item, Reading):
            self._readings.append(item)
        elif isinstance(item, Fetched):
            self._readings.append(item.read())
            self._from_afar = True
        elif isinstance(item, Ending):
            readings, self._readings = self._readings, []
            dropped, self._dropped = self._dropped, []
            recorded = self._finished(item, readings, dropped)
            self._from_afar, self._loss = False, None
            self._deliver(recorded)
        else:
            item()

    def _finished(self, ending: Ending, readings: list[Reading], dropped: list[Key]) -> Recorded:
        late = ending.step.loss is None and self._loss is not None
        if late:
            ending.step.loss = self._loss
        seen = [key for reading in readings for key in reading.keys]
        if self._layout is None or self._layout.differs(seen, ending.clipped):
            self._layout = Layout(seen, ending.clipped)
        layout = self._layout
        data, figures = Answers.packed(
            [r.answers for r in readings], layout.order, layout.starts,
            layout.unscaled * ending.shift,
        )  # fmt: skip
        payload = _payload(ending.step, layout, data)
        return Recorded(ending.step, payload, layout.keys, figures, dropped,
                        from_afar=self._from_afar, late_loss=late)  # fmt: skip


def _payload(step: Step, layout: Layout, statistics: bytes) -> bytes:
    """The bytes of ``step``, with slots and statistics that are written already."""
    written = {
        "slots": msgspec.Raw(layout.slots),
        "statistics": msgspec.Raw(b"\xdd" + len(layout.keys).to_bytes(4, "big") + statistics),
    }
    fields = [
        written[name] if name in written else getattr(step, name) for name in Step.__struct_fields__
    ]
    return bytes((Step.version,)) + _encoder.encode(fields)
