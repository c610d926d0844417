"""The process that has a map computed: hands works to joblib, and tells what comes back.

It reads a line of settings and a line for each work, and writes a line for whatever there is to
tell; its input stays open for as long as somebody wants it. Once that is closed, whatever closed
it, every process that works here is ended.

    python -m layerscope.engine.maps.runner '{"jobs": 2, "dask": null, "nice": 0}'
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from queue import Queue
from typing import Any, TextIO

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import process_executor
from joblib.externals.loky.backend import resource_tracker

from layerscope.engine.maps.work import RUNNER, GivenUp, Told, Work, done, ready

__all__ = ["Runner", "main"]

STRIKES = 2
"""A work in whose flight so many processes died is done alone, where nothing else can be blamed."""
MOST_STRIKES = 2 * STRIKES + 1
"""Such a work is given up."""
AWAY_SECONDS = 15.0
"""How long a cluster may be out of reach."""
REAP_SECONDS = 0.3


class Runner:
    """Works done ``jobs`` at a time here, or wherever a Dask scheduler sends them."""

    def __init__(self, jobs: int, dask: str | None, out: TextIO) -> None:
        self._jobs, self._dask, self._out = jobs, dask, out
        self.telling = threading.Lock()
        """Held for every line; who holds it for good silences this process."""

    def serve(self, lines: Queue[str]) -> None:
        """One map after another: a line of settings, then a line for each work."""
        try:
            with self._backend():
                while True:
                    settings = json.loads(lines.get())
                    works = [json.loads(lines.get()) for _ in range(settings["works"])]
                    self._all([tuple(work) for work in works], settings["build"])
                    self._tell(end=True)
        except Exception as error:
            self._tell(failed=f"{type(error).__name__}: {error}")

    def _all(self, works: list[Work], build: str) -> None:
        """Tell of every work, in whatever order they are done; without one, have workers ready."""
        if not works:
            Parallel(n_jobs=self._jobs)(delayed(ready)() for _ in range(self._jobs))
        waiting = {work[0]: work for work in works}
        strikes: Counter[int] = Counter()
        while waiting:
            together = [w for w in waiting.values() if strikes[w[0]] < STRIKES]
            group = together or [next(iter(waiting.values()))]
            flying: set[int] = set()
            try:
                for told in self._parallel(_noting(group, flying), build):
                    if isinstance(told, GivenUp):
                        # A cluster knows whom its workers died of, but not whether he was alone.
                        strikes[told.place] += STRIKES if told.killed else 1
                        if told.killed and not together:
                            strikes[told.place] = MOST_STRIKES
                        continue
                    del waiting[told[0]]
                    flying.discard(told[0])
                    self._tell(cell=told)
            except process_executor.BrokenProcessPool:
                strikes.update(flying)
            for place in [p for p in waiting if strikes[p] >= MOST_STRIKES]:
                del waiting[place]
                self._tell(lost=place)

    def _parallel(self, works: Iterable[Work], build: str) -> Iterator[Told | GivenUp]:
        parallel = Parallel(n_jobs=self._jobs, return_as="generator_unordered")
        found: Iterator[Told | GivenUp] = parallel(delayed(done)(work, build) for work in works)
        return found

    @contextlib.contextmanager
    def _backend(self) -> Iterator[None]:
        if self._dask is None:
            with parallel_config(backend="loky", inner_max_num_threads=1):
                yield
            return
        from distributed import Client

        from layerscope.engine.maps.cluster import Cluster

        with (
            Client(self._dask, set_as_default=False) as client,
            parallel_config(backend=Cluster(client=client)),
        ):
            ended = threading.Event()
            threading.Thread(target=self._watch, args=[client, ended], daemon=True).start()
            try:
                yield
            finally:
                ended.set()

    def _watch(self, client: Any, ended: threading.Event) -> None:
        """Give up once the scheduler has been away for a while: joblib would wait for ever."""
        seen = time.monotonic()
        while time.monotonic() - seen < AWAY_SECONDS and client.status != "closed":
            if client.status == "running":
                seen = time.monotonic()
            if ended.wait(0.5):
                return
        self._tell(failed=f"the Dask scheduler at {self._dask} is gone")
        os._exit(1)

    def _tell(self, **told: Any) -> None:
        with self.telling:
            self._out.write(json.dumps(told) + "\n")
            self._out.flush()


def _noting(works: Iterable[Work], flying: set[int]) -> Iterator[Work]:
    for work in works:
        flying.add(work[0])
        yield work


def _read(pipe: TextIO, lines: Queue[str], telling: threading.Lock) -> None:
    """Hand lines on; once nobody holds the other end, end this process and all that work for it."""
    for line in pipe:
        lines.put(line)
    telling.acquire()  # what goes wrong from here on is meant to
    os.killpg(0, signal.SIGTERM)  # this process itself does not mind, see `main`
    # joblib's keeper of shared memory ignores signals: it cleans up once its pipe is closed.
    tracker = resource_tracker._resource_tracker
    with contextlib.suppress(OSError, TypeError):
        os.close(tracker._fd)
    end = time.monotonic() + REAP_SECONDS
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < end:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.005)
    os._exit(0)


def main(jobs: int, dask: str | None, nice: int) -> None:
    """Do what the standard input says."""
    # What a work prints must not come between the lines.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGTERM, lambda *_: None)  # no ignoring: that is inherited, this is not
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this is interrupted, and ends it
    os.environ[RUNNER] = str(os.getpid())
    os.nice(nice)
    lines: Queue[str] = Queue()
    runner = Runner(jobs, dask, out)
    threading.Thread(target=_read, args=[sys.stdin, lines, runner.telling], daemon=True).start()
    runner.serve(lines)
    out.close()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
