"""A crew without processes, for tests of whoever begins, follows and reads maps."""

from __future__ import annotations

import threading
import time

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.maps.measuring import reading

__all__ = ["Here"]


class Here:
    """Does the works of a map in the thread that asks; ``gate``, where one is set, is waited for
    after ``before`` of them."""

    gate: threading.Event | None = None
    before = 0

    def __init__(self, **settings):
        self.settings = settings
        self.stopped = False
        self._stop = threading.Event()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def get_ready(self):
        pass

    def stop(self):
        self.stopped = True
        self._stop.set()

    def done(self, samples):
        for count, sample in enumerate(samples):
            while self.gate is not None and count >= self.before and not self.gate.is_set():
                if self._stop.wait(0.005):
                    raise Stopped
            if self.stopped:
                raise Stopped
            began = time.perf_counter()
            found = reading(sample.experiment, sample.training, sample.outcome)
            yield sample.place, found, time.perf_counter() - began
