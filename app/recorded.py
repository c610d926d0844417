"""Runs, read for whoever looks at them: questions to the store, and following a training."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Annotated, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from fastapi import Depends, Path, Request

from layerscope.app.errors import Problem, refused
from layerscope.app.streams import Wire
from layerscope.engine.execution.records import Facts
from layerscope.engine.maps.kept import NoSuchMap
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.series import QUANTITIES
from layerscope.engine.store import Following, NoSuchRun, Position, Store, StoreError
from layerscope.engine.store.sampling import FEWEST

__all__ = [
    "LAST_STEP", "MOST_POINTS", "SPAN", "WHOLE", "Follower", "Polling", "Pulse", "Question",
    "RunId", "Stored", "asked", "from_store", "known_facts", "named", "question", "whole",
]  # fmt: skip

T = TypeVar("T")

POLL_SECONDS = 0.25
"""How often the store is asked for what came."""
AT_ONCE = 200
"""Steps read at once."""
MOST_POINTS = 2000
LAST_STEP = 10**18 - 1  # of as many digits as `WHOLE` takes
SPAN = ("from", "to", "points")
"""Of a query: between which steps, both inclusive, and how many of them at most."""
WHOLE = re.compile(r"[0-9]{1,18}")
"""Text that ``int`` may be asked of: thousands of digits would be an error of its own, digits of
other scripts would be taken."""


async def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


Stored = Annotated[Store, Depends(_store)]
"""The store that this application writes and reads."""


RunId = Annotated[
    str,
    Path(
        pattern="^[A-Za-z0-9_-]{1,64}$",
        description="Its writer's choice: 1 to 64 letters, digits, hyphens or underscores.",
    ),
]


FOLLOWING = ThreadPoolExecutor(2, "layerscope follow")
"""Where followers ask, so that however many there are, a page's question waits for none of them."""


async def from_store(ask: Callable[[], T], threads: Executor | None = None) -> T:
    """What ``ask`` answers, in a thread: a database may take its time.

    Errors: ``Problem`` 404 for a run or a map that is not there, 503 where the store can't be used.
    """
    try:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads, copy_context().run, ask)
    except NoSuchRun as error:
        raise Problem(404, f"{error.args[0]}.", kind="no-such-run", title="No such run") from None
    except NoSuchMap as error:
        raise Problem(404, f"{error.args[0]}.", kind="no-such-map", title="No such map") from None
    except StoreError as error:
        raise Problem(503, f"{error}.", kind="store", title="The store is not usable") from None


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a run: a quantity, of some modules (empty: all), between two steps."""

    quantity: str = "std"
    modules: tuple[str, ...] = ()
    start: int | None = None
    stop: int | None = None
    points: int = 300


def asked(request: Request, names: Iterable[str]) -> dict[str, list[str]]:
    """The query's parameters.

    Errors: ``Problem`` 422 for one that is none of ``names``.
    """
    return named(request.query_params.multi_items(), names)


def named(pairs: Iterable[tuple[str, str]], names: Iterable[str]) -> dict[str, list[str]]:
    """The same of a query's pairs."""
    known = tuple(names)
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in known:
            raise refused(name, f"unknown parameter; expected one of {', '.join(known)}", value)
        found.setdefault(name, []).append(value)
    return found


def question(
    given: Mapping[str, list[str]], quantities: Iterable[str] = QUANTITIES
) -> Question:  # fmt: skip
    """The question in a query's parameters: one of the ``quantities``, ``modules`` (repeated or
    with commas), and `SPAN`.

    Errors: ``Problem`` 422 that names the value and what was expected.
    """
    quantity = given.get("quantity", ["std"])[-1]
    known = tuple(quantities)
    if quantity not in known:
        raise refused("quantity", f"expected one of {', '.join(known)}", quantity)
    points = whole(given, "points", FEWEST, MOST_POINTS)
    last = whole(given, "to", 0, LAST_STEP)
    return Question(
        quantity,
        tuple(n for text in given.get("modules", ()) for n in text.split(",")),
        whole(given, "from", 0, LAST_STEP),
        None if last is None else last + 1,
        300 if points is None else points,
    )


def whole(given: Mapping[str, list[str]], name: str, low: int, high: int) -> int | None:
    """A whole number of a query, or None where it is not there or empty.

    Errors: ``Problem`` 422.
    """
    text = given.get(name, [""])[-1].strip()
    if not text:
        return None
    if not WHOLE.fullmatch(text) or not low <= int(text) <= high:
        raise refused(name, f"expected a whole number from {low} to {high}", text)
    return int(text)


def known_facts(store: Store, run: str) -> Sequence[Facts]:
    """The facts of a run's modules, with their parameters where a probe told them."""
    try:
        return store.facts(run, ModuleFacts)
    except ValueError:
        return store.facts(run)


class Polling:
    """What comes into a store, in batches, until no more will.

    Args:
        news: asked in a thread: what has come since it was asked last, and whether that was all.
        closed: whether the server is stopping.
    """

    ahead = 0

    def __init__(
        self, news: Callable[[], tuple[list[Wire], bool]], closed: Callable[[], bool]
    ) -> None:  # fmt: skip
        self._news, self._closed = news, closed
        self._stopped = self._ended = self._asked = False
        self._items: list[Wire] = []

    async def ready(self, seconds: float) -> bool:
        """Whether there is something to be read, or will be within so many seconds."""
        end = asyncio.get_running_loop().time() + seconds
        while not (self._items or self._ended or self._stopped):
            if self._closed():
                raise Problem(503, "The server is stopping.", kind="busy")
            if await self._moved():
                news, self._ended = await from_store(self._news, FOLLOWING)
                self._items += news
            if not self._items and asyncio.get_running_loop().time() >= end:
                return self._ended
        return True

    def stop(self) -> None:
        """Nobody reads on."""
        self._stopped = True

    async def __anext__(self) -> list[Wire]:
        while not await self.ready(60):
            pass
        items, self._items = self._items, []
        if not items:
            raise StopAsyncIteration
        return items

    async def _moved(self) -> bool:
        """Whether to ask: at once for the first time, then every ``POLL_SECONDS``."""
        if self._asked:
            await asyncio.sleep(POLL_SECONDS)
        self._asked = True
        return True


class Pulse:
    """Where a run stands, asked of the store once for all who follow it."""

    def __init__(self, store: Store, run: str) -> None:
        self._store, self._run = store, run
        self._asking: asyncio.Task[Position] | None = None

    @classmethod
    def of(cls, store: Store, run: str) -> Pulse:
        """The one of this run."""
        known = _pulses.setdefault(store, WeakValueDictionary())
        found = known.get(run)
        if found is None:
            found = known[run] = cls(store, run)
        return found

    async def beat(self) -> Position:
        """Where the run stands ``POLL_SECONDS`` from now, or as soon as it was asked for others.

        Errors: as of `from_store`.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask())
            self._asking.add_done_callback(_retrieved)
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Position:
        await asyncio.sleep(POLL_SECONDS)
        return await from_store(partial(self._store.position, self._run), FOLLOWING)


_pulses: WeakKeyDictionary[Store, WeakValueDictionary[str, Pulse]] = WeakKeyDictionary()


def _retrieved(asking: asyncio.Task[Position]) -> None:
    if not asking.cancelled():
        asking.exception()  # where all who waited have left, it is no news for the log


class Follower(Polling):
    """What comes into a run after entry ``after``, until the run has ended.

    Args:
        told: what to send of each piece, in a thread: a step of a large network takes a while.
        closed: whether the server is stopping.
    """

    def __init__(
        self, store: Store, run: str, after: int, told: Callable[[Following], list[Wire]],
        closed: Callable[[], bool],
    ) -> None:  # fmt: skip
        super().__init__(self._look_at, closed)
        self._store, self._run, self._cursor = store, run, after
        self._told, self._state = told, ""
        self._pulse = Pulse.of(store, run)
        self._read: Position | None = None
        """Where the run stood when all there was had been read."""

    async def _moved(self) -> bool:
        return self._read is None or await self._pulse.beat() != self._read

    def _look_at(self) -> tuple[list[Wire], bool]:
        found = self._store.follow(self._run, self._cursor, limit=AT_ONCE)
        news = found.cursor > self._cursor or found.run.state != self._state
        self._cursor, self._state = found.cursor, found.run.state
        run = found.run
        self._read = None if found.more else (run.sequence, run.state, run.name)
        ended = found.run.state != "running" and not found.more
        return (self._told(found) if news else []), ended
