"""Runs, records over time: written while a training goes on, read by whoever looks at them."""

from layerscope.engine.store.entries import Batch, Finish, Modules, Start, StepEntry, StoredFinding
from layerscope.engine.store.errors import Gap, NoSuchRun, StoreError, StoreWarning, Unavailable
from layerscope.engine.store.location import open_store
from layerscope.engine.store.reading import Following, Position, Run, Step
from layerscope.engine.store.store import Store
from layerscope.engine.store.writer import RunWriter, go_on, new_id, open_run

__all__ = [
    "Batch", "Finish", "Following", "Gap", "Modules", "NoSuchRun", "Position", "Run", "RunWriter",
    "Start", "Step", "StepEntry", "Store", "StoreError", "StoreWarning", "StoredFinding",
    "Unavailable", "go_on", "new_id", "open_run", "open_store",
]  # fmt: skip
