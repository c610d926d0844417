"""For tests of maps: a crew without processes, and who works below a process that has some."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.maps.measuring import reading

__all__ = ["Here", "alive", "children"]


def children(pid):
    """Numbers of the processes below this one, and of those below them."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids = [int(n) for n in task.read_text().split()]
        except OSError:
            continue
        found += [*pids, *(n for p in pids for n in children(p))]
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


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
