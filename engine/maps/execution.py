"""A map's works done in processes of their own, which end as soon as nobody wants them any more.

One process hands works to joblib (`layerscope.engine.maps.runner`); it and its workers are a group,
so that they can be ended together, and they end by themselves when this process does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any, Self

from layerscope.engine.basis.build import engine_build
from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.basis.cores import available_cores
from layerscope.engine.maps.outcomes import Reading
from layerscope.engine.maps.plane import Sample

__all__ = ["Crew", "Done", "MapFailed"]

STOP_SECONDS = 0.6
"""How long the processes have to end once they are told; then they are killed."""
TRIES = 3
"""How often the process that hands works out may end without having told anything new."""

Done = tuple[int, Reading | None, float]
"""A sample's place, its reading and the seconds it took; no reading where its process was killed
again and again."""


class MapFailed(Exception):
    """The cells can't be computed; says why."""


class Crew:
    """Processes that do a map's works, and then another's; started by the first.

    Args:
        jobs: processes at once on this machine; as many as it has cores by default.
        dask: the address of a scheduler that is given the works instead, as ``tcp://host:8786``.
        nice: how far the processes stand back behind others, up to 19.
    """

    def __init__(self, *, jobs: int | None = None, dask: str | None = None, nice: int = 0) -> None:
        self._settings = {"jobs": jobs or available_cores(), "dask": dask, "nice": nice}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `stop`
        self.stopped = False

    @property
    def pid(self) -> int | None:
        """Of the process that hands works out, and of the group; None before there is one."""
        return None if self._process is None else self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process, within a second; from any thread, and as often as one likes."""
        with self._lock:
            self.stopped = True
            self._end()
            self._errors.close()

    def get_ready(self) -> None:
        """Start, so that works which come later need not wait; who is interrupted is not told."""
        with contextlib.suppress(Stopped, MapFailed):
            self._send(self._started(), [])

    def done(self, samples: Sequence[Sample]) -> Iterator[Done]:
        """Every sample's reading, in whatever order they are done.

        Errors: `MapFailed`; ``Stopped`` after `stop`. Leaving early ends the processes.
        """
        waiting = {s.place: [s.place, *s.parts()] for s in samples}
        tries = TRIES
        try:
            while waiting:
                before = len(waiting)
                yield from self._once(waiting)
                tries = TRIES if len(waiting) < before else tries - 1
                if waiting and not tries:
                    raise MapFailed(f"its process ended unexpectedly. {self._said()}".strip())
        finally:
            if waiting:
                with self._lock:
                    self._end()

    def _once(self, waiting: dict[int, list[Any]]) -> Iterator[Done]:
        process = self._started()
        self._send(process, list(waiting.values()))
        for told in _lines(process):
            if "cell" in told:
                place, number, text, seconds = told["cell"]
                del waiting[place]
                yield place, Reading(number, text), seconds
            elif "lost" in told:
                del waiting[told["lost"]]
                yield told["lost"], None, 0.0
            elif "failed" in told:
                raise MapFailed(told["failed"])
            if not waiting:
                return
        with self._lock:
            self._end()

    def _started(self) -> subprocess.Popen[str]:
        with self._lock:
            if self.stopped:
                raise Stopped
            if self._process is None or self._process.poll() is not None:
                self._end()
                try:
                    self._process = subprocess.Popen(  # noqa: S603 - ourselves
                        [sys.executable, "-P", "-m", "layerscope.engine.maps.runner",
                         json.dumps(self._settings)],
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
                        text=True, start_new_session=True,
                    )  # fmt: skip
                except OSError as error:
                    raise MapFailed(f"no process can be started: {error}") from error
            return self._process

    def _send(self, process: subprocess.Popen[str], works: list[list[Any]]) -> None:
        settings = {"build": engine_build(), "works": len(works)}
        with contextlib.suppress(OSError, ValueError):  # it has ended: its output says so
            assert process.stdin is not None  # noqa: S101
            process.stdin.write("".join(json.dumps(line) + "\n" for line in (settings, *works)))
            process.stdin.flush()

    def _said(self) -> str:
        """The end of what the processes complained of."""
        self._errors.seek(0)
        return self._errors.read()[-2000:].strip()

    def _end(self) -> None:
        """Close its input, which ends it and its workers; kill whatever of them is left."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
        end = time.monotonic() + STOP_SECONDS
        # To close waits for who is writing, and he for a reader that may have no time for him.
        killing = threading.Timer(STOP_SECONDS, _kill, [process.pid])
        killing.daemon = True
        killing.start()
        with contextlib.suppress(OSError):  # nobody reads what is still to be written
            process.stdin.close()
        killing.cancel()
        killing.join()  # before its number may be another's
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
        _kill(process.pid)
        process.wait()
        process.stdout.close()


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _lines(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What it tells, until it ends."""
    assert process.stdout is not None  # noqa: S101
    with contextlib.suppress(ValueError):  # it was closed by who ended it
        for line in process.stdout:
            yield json.loads(line)
