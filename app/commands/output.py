"""What every command shares: settings, refusals, and how its output ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from layerscope.app.settings import Settings, unknown_variables
from layerscope.engine.diagnosis import SEVERITIES

__all__ = [
    "BAD_USAGE", "CLOSED_PIPE", "INTERRUPTED", "UNWRITTEN", "Output", "Severe", "fail",
    "known_settings", "printable", "printing", "refuse", "shown", "unwritten", "wide",
]  # fmt: skip

BAD_USAGE = 2
UNWRITTEN = 74  # EX_IOERR of sysexits.h
CLOSED_PIPE = 141  # 128 + SIGPIPE, as of a program that `| head` ends
INTERRUPTED = 130  # 128 + SIGINT, as shells have it

PIPED_WIDTH = 240
"""Columns of a table that goes to no terminal."""

Severe = Literal["warning", "error"]
"""What ``--fail-on`` takes."""


class Output(Console):
    """A console that leaves it to the command how a closed pipe ends."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def wide() -> Output:
    """For tables: what is piped or written to a file is cut at no terminal's width."""
    console = Output()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    return console


def unwritten(error: OSError) -> NoReturn:
    """End as other programs do when nobody reads on, and with a sentence when nothing fits."""
    with contextlib.suppress(OSError, ValueError):
        # What is still buffered would be tried again, and complained about, at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        raise typer.Exit(CLOSED_PIPE) from None
    refuse([f"The output could not be written: {error.strerror}."], code=UNWRITTEN)


def known_settings(**given: Any) -> Settings:
    """Those of the environment and of ``given``, or an exit with a sentence for each wrong one."""
    if unknown := unknown_variables(os.environ):
        refuse(unknown)
    try:
        found = Settings(**given)
        _ = found.store_url
    except ValidationError as error:
        refuse(
            f"{e['loc'][0]} (LAYERSCOPE_{str(e['loc'][0]).upper()}): {e['msg']}, got {e['input']!r}"
            for e in error.errors()
        )
    except ValueError as error:
        refuse([f"store (LAYERSCOPE_STORE): {str(error).removeprefix('to: ')}"])
    return found


def refuse(lines: Iterable[str], code: int = BAD_USAGE) -> NoReturn:
    """Say why, and end."""
    for line in lines:
        typer.echo(printable(line), err=True)
    raise typer.Exit(code)


def fail(on: Severe | None, findings: Iterable[Mapping[str, Any]]) -> None:
    """Exit with 1 where a finding is of the severity ``on`` or above."""
    if on is None:
        return
    refused = SEVERITIES[SEVERITIES.index(on) :]
    if any(finding.get("severity") in refused for finding in findings):
        raise typer.Exit(1)


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """What is printed within may be interrupted, piped into nothing, or find a disk full."""
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        unwritten(error)


def printable(words: str) -> str:
    r"""Somebody's text without a character that would steer a terminal.

    >>> printable("\x1b[31mred")
    '�[31mred'
    """
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)


def shown(words: str) -> str:
    """The same for rich, which takes brackets for markup."""
    return escape(printable(words))
