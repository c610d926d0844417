"""Maps, computed beside everything else: who asks, reads and leaves does not matter to them.

Every map has a thread that hands its works to a crew of processes and keeps what comes back. What
is kept is all there is to know: a server that was killed goes on from there when it starts again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import structlog

from layerscope.app.errors import Problem
from layerscope.app.settings import Settings
from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.maps.computing import compute
from layerscope.engine.maps.execution import Crew
from layerscope.engine.maps.kept import FILE, KeptCell, KeptMap, Maps, NoSuchMap, Waiting
from layerscope.engine.maps.limits import MapLimits
from layerscope.engine.maps.plane import Plane, Sample
from layerscope.engine.maps.tables import map_key
from layerscope.engine.store.errors import StoreError
from layerscope.engine.store.patience import patiently

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
    """Kept from when its thread is started until that is about to end."""

    crew: Crew
    thread: threading.Thread


class Charting:
    """The maps of one server, some of them at a time; its methods are for threads."""

    def __init__(self, settings: Settings) -> None:
        self.kept = Maps(settings.data_dir)
        self._jobs = settings.map_jobs
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
    def jobs(self) -> int | None:
        """Experiments computed at once; None where a cluster decides that."""
        return None if self._dask else self._jobs

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
        self._limits.count(plane)
        if (found := self._had(plane)) is not None:
            return found
        with self._lock:
            self._room()
        samples = self.check(plane)  # seconds of a large one: nobody waits for the lock meanwhile
        while (ending := self._begun(plane, samples)) is not None:
            ending.join()  # somebody has just cancelled it: it begins once that is done
        return self.kept.map(plane.id)

    def _begun(self, plane: Plane, samples: Sequence[Sample]) -> threading.Thread | None:
        """Have the map computed, or return the thread that is to end before it can be."""
        with self._lock:
            running = self._running.get(plane.id)
            if running is not None:
                return running.thread if running.crew.stopped else None
            self._room()
            if not self._go_on(plane, samples):
                self.kept.begin(plane)  # whoever computes it may just have been told to stop
        return None

    def cancel(self, id: str) -> None:  # noqa: A002
        """End a map's computation, within a second; what is known of it stays.

        Errors: ``NoSuchMap``; ``StoreError``.
        """
        with self._lock:
            self.kept.end(id, "cancelled")
            running = self._running.get(id)
        if running is not None:
            running.crew.stop()
            running.thread.join()  # so that the map may be begun again

    def get_ready(self) -> None:
        """Have processes wait: somebody looks at the page of maps."""
        with self._lock:
            if self._running or self._spare or self._closing.is_set():
                return
            try:
                crew = self._crew()
            except StoreError:
                return  # whoever begins a map is told
            self._rest(crew)
        crew.get_ready()

    def resume(self) -> None:
        """Go on with maps that nobody computes: their server has ended."""
        if not (self.kept.folder / FILE).exists():
            return
        try:
            waiting = self.kept.waiting()
        except StoreError as error:
            log.warning("maps can't be resumed", why=str(error))
            return
        for each in waiting:
            try:
                if not self._resume(each):
                    return
            except Exception as error:  # of this map: the others go on
                log.warning("a map can't be resumed", map=each.id, why=str(error), exc_info=True)
                with contextlib.suppress(StoreError):
                    self.kept.leave(each.key, _why(error))

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
            each.thread.join()
        if self._watch is not None:
            self._watch.join()
        self.kept.close()

    def _had(self, plane: Plane) -> KeptMap | None:
        """The map, if it is finished or computed here."""
        if not (self.kept.folder / FILE).exists():
            return None
        with contextlib.suppress(NoSuchMap):
            found = self.kept.map(plane.id)
            running = self._running.get(plane.id)
            here = running is not None and not running.crew.stopped
            if found.state == "finished" or (found.state == "running" and here):
                return found
        return None

    def _room(self) -> None:
        """With the lock held. Errors: ``Problem`` 503 where there is none for one more map."""
        if self._closing.is_set():
            raise Problem(503, "The server is stopping.", kind="busy")
        if len(self._running) >= self._most:
            raise Problem(
                503,
                f"{len(self._running)} maps are being computed, as many as this server takes at "
                f"once (LAYERSCOPE_MAX_MAPS, {self._most}).",
                kind="busy", title="Too many maps at once", headers={"Retry-After": "10"},
            )  # fmt: skip

    def _resume(self, left: Waiting) -> bool:
        """Go on with one map, if nobody computes it; whether there may be room for another."""
        plane = left.plane
        with self._lock:
            if self._closing.is_set() or len(self._running) >= self._most:
                return False
            if left.key != map_key(plane.id):  # another engine's, or a parameter has come since
                abandoned = _Owned.taken(self.kept.folder, left.key)
                if abandoned is None:
                    return True
                try:
                    self.kept.leave(left.key, _gone_on(left, plane))
                finally:
                    abandoned.free()
            if plane.id not in self._running:
                self._go_on(plane)
        return True

    def _go_on(self, plane: Plane, samples: Sequence[Sample] | None = None) -> bool:
        """With the lock held: a thread for the map; whether none, of another process, has it."""
        owned = _Owned.taken(self.kept.folder, map_key(plane.id))
        if owned is None:
            return False
        try:
            crew, self._spare = self._spare or self._crew(), None
            if self._idle is not None:
                self._idle.cancel()
            try:
                self.kept.begin(plane)
                thread = threading.Thread(
                    target=self._work, args=[plane, samples, crew, owned], name=f"map {plane.id}"
                )
                self._running[plane.id] = _Running(crew, thread)
                _begin(thread)
            except StoreError as error:
                self._running.pop(plane.id, None)
                crew.stop()
                with contextlib.suppress(StoreError, NoSuchMap):
                    self.kept.end(plane.id, "failed", _why(error))
                raise
        except BaseException:
            owned.free()
            raise
        if self._watch is None:
            self._watch = threading.Thread(target=self._attend, daemon=True)
            self._watch.start()
        return True

    def _work(
        self, plane: Plane, samples: Sequence[Sample] | None, crew: Crew, owned: _Owned
    ) -> None:
        """In the map's thread."""
        told = True
        try:
            known = {cell.place for cell in self._all(plane.id)}
            rest = [s for s in samples or plane.samples() if s.place not in known]
            for came in compute(rest, crew, self.kept.known):
                self._patiently(partial(self.kept.add, plane.id, came))
            self._patiently(partial(self.kept.end, plane.id, "finished"))
        except Stopped:
            pass  # cancelled, and it says so; or closed, to be resumed
        except NoSuchMap:
            log.warning("a map is gone", map=plane.id)
            crew.stop()
        except Exception as error:  # whatever it is, nobody waits for it for ever
            log.warning("a map failed", map=plane.id, why=str(error), exc_info=True)
            crew.stop()
            told = self._failed(plane.id, error)
        finally:
            owned.free()
            with self._lock:
                del self._running[plane.id]
                if crew.stopped or self._spare or self._closing.is_set():
                    crew.stop()
                else:
                    self._rest(crew)
        if told and not self._closing.is_set():  # else it would be resumed, and fail again
            self.resume()

    def _patiently(self, write: Callable[[], object]) -> None:
        """`patiently`. Errors: ``Stopped`` too, where the server closes meanwhile."""
        patiently(write, self._pause)

    def _pause(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise Stopped

    def _failed(self, id: str, error: Exception) -> bool:  # noqa: A002
        """Let a map have failed; whether that could be kept."""
        try:
            self._patiently(partial(self.kept.end, id, "failed", _why(error)))
        except NoSuchMap:
            return True
        except (StoreError, Stopped):
            return False
        return True

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
                with contextlib.suppress(StoreError, NoSuchMap):
                    if self.kept.state(id) == "cancelled":
                        running.crew.stop()

    def _crew(self) -> Crew:
        """Errors: ``StoreError`` where this machine has no room for one."""
        try:
            return Crew(jobs=self._jobs, dask=self._dask, nice=NICE)
        except OSError as error:
            raise StoreError(f"Maps can't be computed now: {error}") from error

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


def _begin(thread: threading.Thread) -> None:
    """Errors: ``StoreError`` where the system has no thread left."""
    try:
        thread.start()
    except RuntimeError as error:
        raise StoreError(f"Maps can't be computed now: {error}") from error


def _gone_on(left: Waiting, plane: Plane) -> str:
    if left.id == plane.id:
        return "another build of the engine computes it anew"
    return f"it goes on as {plane.id}"


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


@dataclass(frozen=True, slots=True)
class _Owned:
    """The right to compute a map with one engine: a locked file, free again when its process ends,
    however."""

    path: Path
    file: IO[bytes]

    @classmethod
    def taken(cls, folder: Path, key: str) -> _Owned | None:
        """The right, unless somebody has it.

        Errors: ``StoreError`` where the folder has no locks, or no room.
        """
        path = folder / f"map-{key}.lock"
        try:
            folder.mkdir(parents=True, exist_ok=True)  # nothing may have been kept there yet
            while True:
                file = path.open("ab")
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    with contextlib.suppress(FileNotFoundError):
                        if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                            return cls(path, file)
                except BlockingIOError:
                    file.close()
                    return None
                except BaseException:
                    file.close()
                    raise
                file.close()  # its owner has just removed it
        except OSError as error:
            raise StoreError(f"{path} could not be locked: {error}") from error

    def free(self) -> None:
        """Give the right back."""
        self.path.unlink(missing_ok=True)
        self.file.close()
