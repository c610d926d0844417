"""A place to compute with workers of its own, for a test's scenario."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from layerscope.app.compute import Compute
from layerscope.app.workers.pool import Workers

__all__ = ["run", "until"]

GIB = 2**30


def run(
    scenario: Callable[[Compute], Awaitable[None]], concurrent: int = 1, waiting: int = 8,
    wait_seconds: float = 60.0, seconds: float = 60.0, **given: Any,
) -> None:  # fmt: skip
    """Run ``scenario``; it must leave no place taken, and its workers are gone after it."""

    async def whole() -> None:
        workers = Workers()
        given.setdefault("memory_bytes", GIB)
        try:
            compute = Compute(workers, concurrent, waiting, wait_seconds, seconds=seconds, **given)
            await scenario(compute)
            await until(lambda: not compute.active)
        finally:
            workers.close()

    asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    """Return as soon as ``condition()`` holds."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)
