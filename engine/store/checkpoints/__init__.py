"""Checkpoints: every tensor of a file, looked at without running anything that the file holds."""

from layerscope.engine.store.checkpoints.base import CheckpointError, StoredTensor
from layerscope.engine.store.checkpoints.inspection import TensorReport, inspect_tensor, totals
from layerscope.engine.store.checkpoints.opening import Checkpoint, open_checkpoint

__all__ = [
    "Checkpoint", "CheckpointError", "StoredTensor", "TensorReport", "inspect_tensor",
    "open_checkpoint", "totals",
]  # fmt: skip
