"""Work for workers: functions that a test binds and sends, and files by which it hears of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from layerscope.engine.basis.cancellation import ShouldStop, Stopped
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.foundations.schemes import SchemeResult, schemes


def touch(path: Path) -> None:
    path.touch()


def _await(path: Path) -> None:
    while not path.exists():
        time.sleep(0.001)


def pid(_: ShouldStop) -> int:
    """Whose process this is."""
    return os.getpid()


def threads(_: ShouldStop) -> int:
    """How many threads torch uses here."""
    return torch.get_num_threads()


def gated(folder: Path, should_stop: ShouldStop) -> bool:
    """Ends when there is ``folder/open``; whether it was asked to stop before."""
    touch(folder / "entered")
    _await(folder / "open")
    return should_stop()


def polite(folder: Path, should_stop: ShouldStop) -> None:
    """Ends when it is asked to."""
    touch(folder / "entered")
    while not should_stop():
        time.sleep(0.001)
    touch(folder / "stopped")
    raise Stopped


def stubborn(folder: Path, _: ShouldStop) -> None:
    """Never ends, and never asks whether it should."""
    touch(folder / "entered")
    while True:
        time.sleep(1)


def die(_: ShouldStop) -> None:
    """What the operating system does to who takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail(_: ShouldStop) -> Iterator[int]:
    """An item, then a mistake."""
    yield 1
    raise ZeroDivisionError("a mistake")


def buggy(*_: object) -> bytes:
    """In place of a result."""
    raise RuntimeError("secret")


def failing_events(*_: object) -> Iterator[tuple[str, str]]:
    """In place of an experiment's."""
    yield "start", "{}"
    raise ZeroDivisionError("a mistake")


def left_meanwhile(folder: Path, step: Any, form: Any, should_stop: ShouldStop) -> Any:
    """A step's answer, asked for when its client is gone already."""
    touch(folder / "entered")
    while not should_stop():
        time.sleep(0.001)
    try:
        return step.ask(form, should_stop)
    except Stopped:
        touch(folder / "stopped")
        raise


def endless_schemes(
    folder: Path, experiment: Experiment, should_stop: ShouldStop
) -> Iterator[SchemeResult]:
    """One scheme again and again, until it is asked to stop."""
    result = next(e for e in schemes(experiment, ["normal"]) if isinstance(e, SchemeResult))
    while not should_stop():
        yield result
        time.sleep(0.01)  # no flood of panels
    touch(folder / "stopped")


def endless_panels(folder: Path, *arguments: Any) -> Iterator[tuple[str, str]]:
    """The same as they are sent to a page that is there already."""
    experiment, _, should_stop = arguments
    for result in endless_schemes(folder, experiment, should_stop):
        yield "scheme", result.name


def allocate(count: int, _: ShouldStop) -> int:
    """So many bytes, all written to."""
    return int(torch.ones(count, dtype=torch.uint8)[-1])


def count(most: int, should_stop: ShouldStop) -> Iterator[int]:
    for number in range(most):
        if should_stop():
            raise Stopped
        yield number


def endless(should_stop: ShouldStop) -> Iterator[int]:
    yield from count(10**9, should_stop)


def silent(folder: Path, should_stop: ShouldStop) -> Iterator[tuple[str, str]]:
    """Yields nothing until it is asked to stop."""
    polite(folder, should_stop)
    yield from ()


def urgently(folder: Path, _: ShouldStop) -> Iterator[str]:
    """One item, then four, the last of which may not wait."""
    yield "patient"
    _await(folder / "read")
    yield from ["patient"] * 3
    yield "urgent"
    _await(folder / "open")


def patient(item: str) -> bool:
    return item == "patient"


def alone(folder: Path, _: ShouldStop) -> bool:
    """Whether nobody else was in ``folder`` meanwhile."""
    try:
        (folder / "inside").mkdir()
    except FileExistsError:
        return False
    time.sleep(0.01)
    (folder / "inside").rmdir()
    return True


def mixed(_: ShouldStop) -> Iterator[str]:
    """What may wait, what may not, what may, and a mistake."""
    yield from ("patient", "patient", "urgent", "patient", "patient")
    raise ZeroDivisionError("a mistake")
