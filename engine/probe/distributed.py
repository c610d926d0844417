"""What a probe has to know of ``torch.distributed``: which rank it is in, and what is whole."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from torch import distributed, nn

__all__ = ["name_of_rank", "named_by_rank", "refuse_parts"]


def named_by_rank(
    name: str | None, config: Mapping[str, Any] | None
) -> tuple[str | None, Mapping[str, Any] | None]:
    """The name and the settings of this rank's own run; as they are where it is the only one."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return name, config
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    if ranks < 2:
        return name, config
    config = {**(config or {}), "rank": rank, "ranks": ranks}
    return name_of_rank(name or "", rank, ranks), config


def name_of_rank(name: str, rank: int, ranks: int) -> str:
    """What a rank's own run is called, of the name that was given to all.

    >>> name_of_rank("mine", 0, 2)
    'mine, rank 0 of 2'
    """
    own = f"rank {rank} of {ranks}"
    return f"{name}, {own}" if name else own


def refuse_parts(model: nn.Module) -> None:
    """Errors: ``TypeError`` for a model of which this process holds parts alone."""
    tensors = sys.modules.get("torch.distributed.tensor")  # where nobody shards, not loaded
    shards = getattr(tensors, "DTensor", ())
    wrappers = getattr(sys.modules.get("torch.distributed.fsdp"), "FullyShardedDataParallel", ())
    part = next((n for n, p in model.named_parameters() if isinstance(p, shards)), None)
    wrapped = any(isinstance(module, wrappers) for module in model.modules())
    if part is None and not wrapped:
        return
    what = "FullyShardedDataParallel" if part is None else f"{part} is a DTensor"
    raise TypeError(
        f"model: expected whole parameters, got parts of them ({what}): of one part no statistics "
        "of the whole can be told; watch it before it is sharded, on one process, or train it "
        "with DistributedDataParallel, where every rank is recorded"
    )
