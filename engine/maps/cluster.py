"""joblib's Dask backend, told of what the scheduler gives up: by itself it would wait for ever.

joblib hears of a task only once that is done. One whose workers died too often, or that was lost
with its scheduler, is answered here by what says so; one that no worker can read by its error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from joblib._dask import DaskDistributedBackend

from layerscope.engine.maps.work import GivenUp, Told

__all__ = ["Cluster"]


class Cluster(DaskDistributedBackend):  # type: ignore[misc]  # joblib has no types
    """Works on a Dask cluster, each answered by what it tells or by a `GivenUp`."""

    def submit(self, func: Any, callback: Callable[[object], object]) -> Any:
        """Hand a batch of works on; ``callback`` gets what each of them has come to."""
        # Without arguments it is no work, and nobody waits for its answer: see `ready`.
        places = [arguments[0][0] for _, arguments, _ in func.items if arguments]
        return super().submit(func, lambda out: callback(_answers(places, out)))

    def retrieve_result_callback(self, out: Any) -> list[Told | GivenUp]:
        """What the works of a batch told. Errors: that of a batch which no worker can do."""
        if isinstance(out, BaseException):
            raise out
        told: list[Told | GivenUp] = super().retrieve_result_callback(out)
        return told

    async def _collect(self) -> None:
        while self._continue:
            async for future, result in self.waiting_futures:
                done, tell = self._results.pop(future), self._callbacks.pop(future)
                out = result[1] if future.status == "error" else result  # type, error, traceback
                done.set_result(out)
                tell(out)
            await asyncio.sleep(0.01)


def _answers(places: list[int], out: Any) -> Any:
    """What the tasks of these works have come to."""
    from distributed import KilledWorker  # installed where there is a cluster
    from distributed.client import CancelledError

    if isinstance(out, KilledWorker | CancelledError):
        return [GivenUp(place, killed=isinstance(out, KilledWorker)) for place in places]
    return out
