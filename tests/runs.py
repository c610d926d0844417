"""Parts of runs, for tests of whoever writes or reads them."""

from __future__ import annotations

from layerscope.engine.execution.records import Facts

__all__ = ["facts"]


def facts(count: int) -> list[Facts]:
    """Of so many modules."""
    return [
        Facts(index, f"block.{index}.linear", "Linear", "linear_map", (8, 4), "float32")
        for index in range(count)
    ]
