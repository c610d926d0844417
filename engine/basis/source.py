"""Reading the engine's own source, for what is shown and for stand-alone scripts."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

__all__ = ["source_lines", "source_text"]

# To find a class, inspect parses its file; CPython 3.11's parser keeps its recursion depth in one
# place for all threads, and fails when two of them parse at once.
_one_at_a_time = threading.Lock()


@lru_cache
def source_lines(shown: Callable[..., Any]) -> tuple[tuple[str, ...], int]:
    """The lines of a function's or class's definition, and the number of the first.

    >>> source_lines(source_text)[0][0]
    'def source_text(shown: Callable[..., Any]) -> str:\\n'
    """
    with _one_at_a_time:
        lines, line = inspect.getsourcelines(shown)
    return tuple(lines), line


def source_text(shown: Callable[..., Any]) -> str:
    """The source of a function or class as it stands in its file."""
    return "".join(source_lines(shown)[0])
