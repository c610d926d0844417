"""Maps, computed beside everything else: who asks, reads and leaves does not matter to them.

Every map has a thread that hands its works to a crew of processes and keeps what comes back. What
is kept is all there is to know: a server that was killed goes on from there when it starts again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog

from layerscope.app.errors import Problem
from layerscope.app.settings import Settings
from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.maps.computing import compute
from layerscope.engine.maps.execution import Crew, MapFailed
from layerscope.engine.maps.kept import KeptCell, KeptMap, Maps
from layerscope.engine.maps.limits import MapLimits
from layerscope.engine.maps.plane import Plane, Sample
from layerscope.engine.store.errors import StoreError

__all__ = ["Charting"]

NICE = 19
"""How far a map's processes stand back: whoever moves a slider goes before them."""
IDLE_SECONDS = 120.0
"""How long processes without a map wait for another one."""
LOOK_SECONDS = 0.3
"""How often a running map is asked whether somebody, of another process, cancelled it."""

log = structlog.stdlib.get_logger("layerscope.maps")


@dataclass(slots=True)
class _Running:
    crew: Crew
    thread: threading.Thread | None = None


class Charting:
    """The maps of one server, some of them at a time; its methods are for threads."""

    def __init__(self, settings: Settings) -> None:
        self.kept = Maps(settings.data_dir)
        self.jobs = settings.map_jobs
        self._dask = settings.dask or None
        self._most = settings.max_maps
        self._limits = MapLimits(settings.max_map_cells, settings.max_map_flops, settings.limits)
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._spare: Crew | None = None
        self._idle: threading.Timer | None = None
        self._watch: threading.Thread | None = None
        self._closing = threading.Event()

    @property
    def active(self) -> int:
        """Maps that this process computes now."""
        return len(self._running)

    def check(self, plane: Plane) -> list[Sample]:
        """The plane's samples, if it may be computed.

        Errors: ``OverLimit`` with the figure that is over; ``InvalidParameters`` naming a cell.
        """
        self._limits.count(plane)
        samples = list(plane.samples())
        self._limits.check(samples)
        return samples

    def start(self, plane: Plane) -> KeptMap:
        """Let the map be computed, unless it is or was already.

        Errors: of `check`; ``Problem`` 503 where as many are computed as may be; ``StoreError``.
        """
        samples = self.check(plane)
        with self._lock:
            if plane.id not in self._running:
                self._begin(plane, samples)
        return self.kept.map(plane.id)

    def cancel(self, id: str) -> None:  # noqa: A002
        """End a map's computation, within a second; what is known of it stays.

        Errors: ``NoSuchMap``; ``StoreError``.
        """
        self.kept.end(id, "cancelled")
        running = self._running.get(id)
        if running is not None:
            running.crew.stop()
            if running.thread is not None:
                running.thread.join()  # so that the map may be begun again

    def get_ready(self) -> None:
        """Have processes wait: somebody looks at the page of maps."""
        with self._lock:
            if self._running or self._spare or self._closing.is_set():
                return
            crew = self._crew()
            self._rest(crew)
        crew.get_ready()

    def resume(self) -> None:
        """Go on with maps that nobody computes: their server has ended."""
        if not (self.kept.folder / "maps.db").exists():
            return
        try:
            waiting = self.kept.running()
        except StoreError as error:
            log.warning("maps can't be resumed", why=str(error))
            return
        for found in waiting:
            with self._lock:
                if self._closing.is_set() or len(self._running) >= self._most:
                    return
                if found.id in self._running:
                    continue
                try:
                    self._go_on(found.plane, list(found.plane.samples()))
                except InvalidParameters as error:  # a registered name that is gone
                    self.kept.end(found.id, "failed", str(error))

    def close(self) -> None:
        """End every process. The maps stay as they are, to be resumed."""
        self._closing.set()
        with self._lock:
            everyone = list(self._running.values())
            spare, self._spare = self._spare, None
            if self._idle is not None:
                self._idle.cancel()
        for crew in [each.crew for each in everyone] + ([spare] if spare else []):
            crew.stop()
        for each in everyone:
            if each.thread is not None:
                each.thread.join()
        if self._watch is not None:
            self._watch.join()
        self.kept.close()

    def _begin(self, plane: Plane, samples: Sequence[Sample]) -> None:
        if self._closing.is_set():
            raise Problem(503, "The server is stopping.", kind="busy")
        with contextlib.suppress(KeyError):
            if self.kept.map(plane.id).state == "finished" and not self.kept.begin(plane):
                return
        if len(self._running) >= self._most:
            raise Problem(
                503,
                f"{len(self._running)} maps are being computed, as many as this server takes at "
                f"once (LAYERSCOPE_MAX_MAPS, {self._most}).",
                kind="busy", title="Too many maps at once", headers={"Retry-After": "10"},
            )  # fmt: skip
        self.kept.begin(plane)
        self._go_on(plane, samples)

    def _go_on(self, plane: Plane, samples: Sequence[Sample]) -> None:
        """With the lock held: a thread for the map, unless another process has one."""
        owned = _Owned.taken(self.kept.folder, plane.id)
        if owned is None:
            return
        crew, self._spare = self._spare or self._crew(), None
        if self._idle is not None:
            self._idle.cancel()
        running = self._running[plane.id] = _Running(crew)
        running.thread = threading.Thread(
            target=self._work, args=[plane, samples, running, owned], name=f"map {plane.id}"
        )
        running.thread.start()
        if self._watch is None:
            self._watch = threading.Thread(target=self._attend, daemon=True)
            self._watch.start()

    def _work(
        self, plane: Plane, samples: Sequence[Sample], running: _Running, owned: _Owned
    ) -> None:
        """In the map's thread."""
        crew, usable = running.crew, True
        try:
            known = {cell.place for cell in self._all(plane.id)}
            rest = [s for s in samples if s.place not in known]
            for came in compute(rest, crew, self.kept.known):
                self.kept.add(plane.id, came)
            self.kept.end(plane.id, "finished")
        except Stopped:
            pass  # cancelled, and it says so; or closed, to be resumed
        except MapFailed as error:
            log.warning("a map failed", map=plane.id, why=str(error))
            self.kept.end(plane.id, "failed", str(error))
        except (StoreError, KeyError) as error:
            log.warning("a map can't be kept", map=plane.id, why=str(error))
            usable = False  # at once it would go wrong again
            crew.stop()
        finally:
            owned.free()
            with self._lock:
                del self._running[plane.id]
                if crew.stopped or self._spare or self._closing.is_set():
                    crew.stop()
                else:
                    self._rest(crew)
        if usable and not self._closing.is_set():
            self.resume()

    def _all(self, id: str) -> Iterator[KeptCell]:  # noqa: A002
        after, more = 0, True
        while more:
            found = self.kept.follow(id, after, limit=20_000)
            yield from found.cells
            more = found.more
            after = found.cells[-1].sequence if found.cells else after

    def _attend(self) -> None:
        """End what another web process has cancelled."""
        while not self._closing.wait(LOOK_SECONDS):
            for id, running in list(self._running.items()):  # noqa: A001
                with contextlib.suppress(StoreError, KeyError):
                    if self.kept.map(id).state == "cancelled":
                        running.crew.stop()

    def _crew(self) -> Crew:
        return Crew(jobs=self.jobs, dask=self._dask, nice=NICE)

    def _rest(self, crew: Crew) -> None:
        """With the lock held: let processes wait a while for another map."""
        self._spare = crew
        self._idle = threading.Timer(IDLE_SECONDS, self._dismiss, [crew])
        self._idle.daemon = True
        self._idle.start()

    def _dismiss(self, crew: Crew) -> None:
        with self._lock:
            if self._spare is not crew:
                return
            self._spare = None
        crew.stop()


@dataclass(frozen=True, slots=True)
class _Owned:
    """The right to compute a map: a locked file, free again when its process ends, however."""

    path: Path
    file: IO[bytes]

    @classmethod
    def taken(cls, folder: Path, id: str) -> _Owned | None:  # noqa: A002
        """The right, unless somebody has it."""
        path = folder / f"map-{id}.lock"
        while True:
            file = path.open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                return None
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                    return cls(path, file)
            file.close()  # its owner has just removed it

    def free(self) -> None:
        """Give the right back."""
        self.path.unlink(missing_ok=True)
        self.file.close()
