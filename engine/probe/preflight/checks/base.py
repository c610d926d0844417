"""What a check is, and the registry that holds all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from layerscope.engine.basis.registry import Registry
from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.preflight.subject import Subject

__all__ = ["CHECKS", "Check", "check"]

Find = Callable[[Subject], Finding | None]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that preflight asks of a model beside the rules on records. ``formula`` is the
    condition in words, ``explains`` names rules whose findings follow from this one's."""

    find: Find
    _: KW_ONLY
    formula: str
    source: str
    explains: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.find.__name__

    @property
    def help(self) -> str:
        return self.find.__doc__ or ""


CHECKS: Registry[Check] = Registry("preflight check")
check = CHECKS.decorator(Check)
"""Registers the decorated function as the check of its own name; roots before symptoms."""
