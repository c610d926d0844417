"""The line of the user's own code that is being executed."""

from __future__ import annotations

import linecache
import os
import sys
from pathlib import Path
from types import FrameType

import torch

__all__ = ["raising_line", "users_line", "users_place"]

_NOT_THE_USERS = (
    str(Path(torch.__file__).parent) + os.sep,
    str(Path(__file__).resolve().parents[1]) + os.sep,
)


def users_line() -> str | None:
    """The innermost line on the stack that belongs neither to PyTorch nor to this package.

    As ``file:line: text``; None where there is none, as in a thread of PyTorch's.

    >>> users_line()
    '<doctest layerscope.engine.probe.lines.users_line[0]>:1: users_line()'
    """
    place = users_place()
    return None if place is None else _line(*place)


def users_place() -> tuple[str, int] | None:
    """The same as a file and the number of the line in it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if _users(name):
            return name, frame.f_lineno
        frame = frame.f_back
    return None


def raising_line(error: BaseException) -> str | None:
    """The same of where an error came from: the innermost of the user's lines that it passed."""
    step, found = error.__traceback__, None
    while step is not None:
        name = step.tb_frame.f_code.co_filename
        if _users(name):
            found = _line(name, step.tb_lineno)
        step = step.tb_next
    return found


def _users(name: str) -> bool:
    return not name.startswith(_NOT_THE_USERS) and not name.startswith("<frozen")


def _line(name: str, number: int) -> str:
    return f"{_short(name)}:{number}: {linecache.getline(name, number).strip()}"


def _short(name: str) -> str:
    """Seen from the working directory, where it lies in it."""
    try:
        here = os.getcwd() + os.sep  # noqa: PTH109  a string prefix is all that is needed
    except OSError:  # it has been removed
        return name
    return name.removeprefix(here)
