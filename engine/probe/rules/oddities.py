"""What the graph between input and loss has told, and how severely that is taken."""

from __future__ import annotations

from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import History
from layerscope.engine.probe.step import Oddity

__all__ = ["holder", "oddity", "severity_of"]


def oddity(history: History, *what: str) -> tuple[int, Oddity] | None:
    """The first of these, and the step in which it was seen."""
    return next(
        ((s.number, each) for s in history.steps for each in s.oddities if each.what in what), None
    )


def severity_of(history: History) -> Severity:
    """A note as long as it is not known to hinder: what looks odd may be meant, or by chance as
    long as something else."""
    if not history.hinders:
        return "info"
    return "warning" if history.learns else "error"


def holder(history: History, parameter: str | None) -> ModuleFacts | None:
    """The module whose parameter it is."""
    return next(
        (w.module for w in history.weights() if parameter is not None and w.full_name == parameter),
        None,
    )
