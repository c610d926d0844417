"""A finding: what is wrong, how it is known, what helps."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from layerscope.engine.basis.serial import Serial

__all__ = ["SEVERITIES", "Direction", "Finding", "Severity"]

Severity = Literal["info", "warning", "error"]
Direction = Literal["forward", "backward", "both"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")  # in ascending order


class Finding(Serial):
    """What a rule found in ``modules``, qualified names in forward order, of which ``layers`` are
    the first and last as indices, ``blocks`` as blocks (hidden ones count from 1). ``since`` is the
    step of a training from which on it held, None outside one. ``threshold`` is what the evidence
    was held against. ``consequences`` are findings of other rules that follow from this one."""

    rule: str
    severity: Severity
    title: str
    explanation: str
    direction: Direction
    modules: tuple[str, ...]
    layers: tuple[int, int]
    blocks: tuple[int, int]
    evidence: dict[str, Any]
    threshold: dict[str, Any]
    since: int | None = None
    fix: dict[str, Any] | None = None
    fix_verified: bool = False
    consequences: list[Finding] = msgspec.field(default_factory=list)
