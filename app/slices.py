"""Long work on the event loop in slices, one a pass, so that who asks little need not wait for it.

A page takes tens of milliseconds to write. A dozen written at once would each hold the loop for so
long before it comes back to a question that needs none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TypeVar
from weakref import WeakKeyDictionary

__all__ = ["SLICE_SECONDS", "sliced", "turn"]

T = TypeVar("T")

SLICE_SECONDS = 0.004
"""How long a slice may take. Between two, the loop does all else that waits."""


class _Turns:
    """Those who wait on one loop: one is let go on in each of its passes, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        waiter = self._loop.create_future()
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._next)
        await waiter

    def _next(self) -> None:
        while self._waiting and self._waiting[0].done():  # who waited there is gone
            self._waiting.popleft()
        if not self._waiting:
            return
        self._waiting[0].set_result(None)
        self._loop.call_soon(self._next)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


async def turn() -> None:
    """Wait for a pass of the loop in which nobody else works on a slice."""
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = _Turns(loop)
    await turns.wait()


async def sliced(pieces: AsyncIterator[T]) -> AsyncIterator[T]:
    """``pieces``, each as soon as it is there, but with a turn for others between the slices."""
    loop = asyncio.get_running_loop()
    await turn()
    end = loop.time() + SLICE_SECONDS
    async for piece in pieces:
        yield piece
        if loop.time() > end:
            await turn()
            end = loop.time() + SLICE_SECONDS
