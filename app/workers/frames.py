"""What passes between the web process and a worker: frames of a kind, a number and a length."""

from __future__ import annotations

import struct
from enum import IntEnum

__all__ = ["HEADER", "Kind", "frame"]

HEADER = struct.Struct("!BIQ")
"""Kind, number of the task, and how many bytes follow."""


class Kind(IntEnum):
    """What a frame's bytes are."""

    READY = 1
    """From a new worker, its process's number in place of a task's: it waits for work. The body are
    the pickled ``Prices`` that were measured before it was forked."""
    WORK = 2
    """To the worker: a pickled ``Task``."""
    STOP = 3
    """To the worker: end that task at its next step."""
    ITEMS = 4
    """From the worker: what the work yielded since the last, a pickled list."""
    RESULT = 5
    """From the worker: what the work returned, pickled; it waits for work again."""
    ERROR = 6
    """From the worker: what the exception is made of, pickled; it waits for work again."""


def frame(kind: Kind, number: int, body: bytes = b"") -> bytes:
    """One frame.

    >>> frame(Kind.STOP, 7).hex(" ", 4)
    '03 00000007 00000000 00000000'
    """
    return HEADER.pack(kind, number, len(body)) + body
