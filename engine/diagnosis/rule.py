"""What a rule is, and the registry that holds all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from layerscope.engine.basis.registry import Registry
from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding

__all__ = ["RULES", "Find", "Rule", "Undecided", "rule"]

Undecided = Callable[[Evidence], str | None]
Find = Callable[[Evidence], Finding | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """One way in which a network goes wrong: ``formula`` is the condition in words and figures,
    ``help`` the reason for its threshold. ``early``: may be asked while layers are still being
    computed. ``explains``: the rules whose findings are consequences where this one's begins no
    later in the pass; ``covers``: those whose figures tell nothing any more wherever it begins.
    ``of_start``: it is about a network before its first step.
    ``of_scale``: it finds a scale (of the signal, of its gradient, of what tells samples apart),
    which Adam divides out: where the network is tried and learns, an error of it is a warning.
    ``harmless_alone``: its notes too are causes, of no weight until something follows.
    ``undecided`` says why the rule cannot be asked of some records, or None where it can."""

    find: Find
    _: KW_ONLY
    formula: str
    source: str
    help: str
    early: bool = False
    explains: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()
    of_start: bool = False
    of_scale: bool = False
    harmless_alone: bool = False
    undecided: Undecided | None = None

    @property
    def name(self) -> str:
        return self.find.__name__


RULES: Registry[Rule] = Registry("rule")
rule = RULES.decorator(Rule)
"""Registers the decorated function as the rule of its own name; roots before symptoms."""
