"""Writing a run, from the training's side: nothing raised, nothing waited for, told once."""

from __future__ import annotations

import atexit
import math
import os
import secrets
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from layerscope.engine.basis.ending import STATES, State, state_after
from layerscope.engine.execution.records import Facts
from layerscope.engine.store.entries import (
    Batch,
    Entry,
    Findings,
    Finish,
    Modules,
    Start,
    StepEntry,
    StoredFinding,
    Summary,
    size,
)  # fmt: skip
from layerscope.engine.store.errors import StoreError, StoreWarning, Unavailable
from layerscope.engine.store.location import Server, To, data_dir, located
from layerscope.engine.store.plain import plain, text
from layerscope.engine.store.remote import RemoteSink
from layerscope.engine.store.sink import Sink, StoreSink, Tell
from layerscope.engine.store.store import Store

__all__ = ["RunWriter", "go_on", "new_id", "open_run"]

COMMIT_SECONDS = 0.2
"""Shortest time between two commits."""
ALIVE_SECONDS = 2.0
"""Longest time without a sign of life, also where a step takes minutes."""
MOST_BYTES = 64 * 2**20
"""Held while a store can't take them; what comes beyond is lost."""
MOST_BATCH_BYTES = 2**20
"""A batch ends at the entry that exceeds this."""
FINISH_SECONDS = 10.0
"""How long ``finish`` waits for a store that can't take the last entries."""
LEAVE_SECONDS = 30.0
"""And for one that does not answer at all: no longer than this, whatever it waits for."""
SPOOL = "spool"
"""Folder, beside the store's file, of what waits for a server."""


def open_run(
    to: To = None, name: str | None = None, config: Mapping[str, Any] | None = None
) -> RunWriter:
    """A run that begins now; everything told to the writer goes into it.

    Args:
        to: as `located` has it: None, a file, an SQLAlchemy URL, ``":memory:"``, a server.
        name: what people call it; by default its id.
        config: what it was made with, to be shown beside it.

    Errors: ``ValueError`` for a ``to`` that is none of these. A store that can't be used raises
    nothing, now or later: a `StoreWarning` says so once, and the run is not recorded.

    >>> writer = open_run(":memory:", "digits", {"learning_rate": 0.1})
    >>> writer.step(1, 2.3, b"statistics")
    >>> writer.finish("finished")
    >>> [(step.number, step.loss) for step in writer.store.steps(writer.id)]
    [(1, 2.3)]
    """
    where = located(to)
    run = new_id()
    start = Start(None if name is None else text(name), plain(dict(config or {})), time.time())
    if isinstance(where, Server):
        folder = data_dir() / SPOOL
        page = f"{where.address}/runs/{run}"
        return RunWriter(lambda tell: RemoteSink(where, run, folder, tell), run, start, page=page)
    store = Store(where)
    return RunWriter(lambda _: StoreSink(store, run), run, start, store)


def new_id() -> str:
    """An id for a run: in order of time, and no one's else."""
    return f"{time.time_ns() // 10**6:011x}{secrets.token_hex(4)}"


def go_on(store: Store, run: str) -> RunWriter:
    """A writer for a run that is in ``store`` already, from after its last entry on.

    Errors: ``KeyError`` for a run that is not there.
    """
    return RunWriter(lambda _: StoreSink(store, run), run, None, store, store.run(run).sequence + 1)


class RunWriter:
    """One run being written. Its methods return at once; a thread of its own keeps what they say.

    It belongs to the process that opened it: in a fork it does nothing. As a context manager it
    finishes the run by how its block ended.
    """

    def __init__(
        self, sink: Callable[[Tell], Sink], run: str, start: Start | None,
        store: Store | None = None, first: int = 1, page: str | None = None,
    ) -> None:  # fmt: skip
        self.id = run
        self.page = page
        """The address of its page, where a server is written to."""
        self.store = store
        """Where to read the run; None where that is a server's."""
        self.lost = 0
        """Entries that were given up."""
        self._process = os.getpid()
        self._opened_at = _callers_line()
        self._told: set[str] = set()
        self._sink = sink(self._tell)
        self._changed = threading.Condition()
        self._bytes = 0 if start is None else size(start)
        self._waiting: list[tuple[Entry, int]] = [] if start is None else [(start, self._bytes)]
        """Entries, each with its size."""
        self._next = first
        self._closing = False
        self._off = False
        self._deadline = math.inf
        self._thread = threading.Thread(target=self._work, name="layerscope store", daemon=True)
        self._thread.start()
        # What is still waiting when the program ends is written, as far as that is possible.
        atexit.register(self._ended)

    @property
    def waiting_bytes(self) -> int:
        """About how much is still to be kept."""
        return self._bytes

    def modules(self, facts: Sequence[Facts]) -> None:
        """What is known of every module, in forward order; in place of what was told before."""
        try:
            entry = Modules([each.to_bytes() for each in facts])
        except (ValueError, TypeError) as error:  # half a surrogate pair in a name, say
            self._tell("modules", f"the modules of this run can't be written: {error}")
            return
        self._put(entry)

    def step(
        self, number: int, loss: float | None, payload: bytes, *, nonfinite: bool = False
    ) -> None:
        """One step of the training.

        Args:
            number: of the step, ascending.
            loss: NaN and infinities are kept; None where there is none.
            payload: what was measured, packed; kept as it is.
            nonfinite: whether anything in it is NaN or infinite, so that no picture leaves it out.
        """
        loss = None if loss is None else float(loss)
        self._put(StepEntry(int(number), time.time(), loss, bytes(payload), bool(nonfinite)))

    def finding(self, finding: Mapping[str, Any]) -> None:
        """One more finding, as its ``to_dict`` has it."""
        self._put(Findings([_stored(finding)], whole=False))

    def findings(self, findings: Sequence[Mapping[str, Any]]) -> None:
        """All findings there are, in place of those told before."""
        self._put(Findings([_stored(each) for each in findings], whole=True))

    def summary(self, summary: Mapping[str, Any]) -> None:
        """What is known of the run as a whole (its cost, say), in place of what was told before."""
        self._put(Summary(plain(dict(summary))))

    def finish(self, state: State = "finished") -> None:
        """The run is over: what is waiting is written, then nothing more is taken. It returns after
        ``LEAVE_SECONDS`` at the latest."""
        if state not in STATES:
            raise ValueError(f"state: expected finished, stopped or failed, got {state!r}")
        if os.getpid() != self._process:
            return
        with self._changed:
            if not self._closing:
                self._put(Finish(state, time.time()))
                self._closing = True
                self._deadline = time.monotonic() + FINISH_SECONDS
                self._sink.hurry(self._deadline)
                self._changed.notify_all()
        self._thread.join(LEAVE_SECONDS)
        if self._thread.is_alive():
            self._tell(
                "left",
                f"the store has not answered for {LEAVE_SECONDS:g} s; the end of this run may be "
                "missing there",
            )
        atexit.unregister(self._ended)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.finish(state_after(error))

    def _ended(self) -> None:
        self.finish("stopped")

    def _put(self, entry: Entry) -> None:
        if os.getpid() != self._process:
            return  # no thread of ours is here, and its lock may be held for ever
        amount = size(entry)
        with self._changed:
            if self._closing:
                return
            if self._off:
                self.lost += 1
                return
            room = not self._waiting or self._bytes + amount <= MOST_BYTES
            if room:
                self._waiting.append((entry, amount))
                self._bytes += amount
                self._changed.notify_all()
            else:
                self.lost += 1
        if not room:
            self._tell(
                "full", f"{MOST_BYTES >> 20} MiB wait for the store already; further steps are lost"
            )

    def _work(self) -> None:
        """The writing thread."""
        try:
            self._deliver()
        except StoreError as error:
            self._give_up(str(error))
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}")
        finally:
            self._sink.close()

    def _deliver(self) -> None:
        last, pause, failing = -math.inf, COMMIT_SECONDS, False
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._waiting or self._closing, _left(last + ALIVE_SECONDS)
                )
                # Many steps in one commit; with a whole batch, or at the end, nothing to wait for.
                self._changed.wait_for(partial(self._hurried, failing=failing), _left(last + pause))
                entries = self._batch()
                if self._closing and not entries:
                    return
            failing = not self._written(entries)
            if failing and time.monotonic() > self._deadline:
                raise StoreError("the store could not take the end of this run")
            pause = min(2 * pause, ALIVE_SECONDS) if failing else COMMIT_SECONDS
            last = time.monotonic()

    def _hurried(self, *, failing: bool) -> bool:
        return not failing and (self._closing or self._bytes > MOST_BATCH_BYTES)

    def _batch(self) -> list[tuple[Entry, int]]:
        amount, count = 0, 0
        for _, each in self._waiting:
            amount += each
            count += 1
            if amount > MOST_BATCH_BYTES:
                break
        return self._waiting[:count]

    def _written(self, entries: list[tuple[Entry, int]]) -> bool:
        try:
            self._sink.write(Batch(self._next, [entry for entry, _ in entries]))
        except Unavailable as error:
            self._tell("waiting", f"{error}; the training goes on, and this is tried again")
            return False
        self._next += len(entries)
        with self._changed:
            del self._waiting[: len(entries)]
            self._bytes -= sum(amount for _, amount in entries)
        return True

    def _give_up(self, why: str) -> None:
        with self._changed:
            self._off = True
            self.lost += len(self._waiting)
            self._waiting.clear()
            self._bytes = 0
        self._tell("off", f"{why}. The training goes on; this run is no longer recorded.")

    def _tell(self, kind: str, sentence: str) -> None:
        """Say it to the user, once for each kind."""
        if kind in self._told:
            return
        self._told.add(kind)
        try:
            # From this thread no stack leads to the user's program; its line is kept since.
            warnings.warn_explicit(f"layerscope: {sentence}", StoreWarning, *self._opened_at)
        except StoreWarning as warning:  # warnings are errors here, but this one ends no training
            sys.stderr.write(f"{warning}\n")


def _callers_line() -> tuple[str, int]:
    """File and line of whoever called into Layerscope."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "layerscope":
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _left(moment: float) -> float:
    """Seconds until ``moment``."""
    return max(0.0, moment - time.monotonic())


def _stored(finding: Mapping[str, Any]) -> StoredFinding:
    known = plain(dict(finding))
    title = known.get("title") or known.get("explanation") or known.get("rule", "")
    return StoredFinding(text(known.get("severity", "info")), text(title), known)
