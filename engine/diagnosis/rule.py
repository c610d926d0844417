"""What a rule is, and the registry that holds all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from layerscope.engine.basis.registry import Registry
from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.experiment.specification import Experiment

__all__ = ["RULES", "Check", "Rule", "Undecided", "rule"]

Undecided = Callable[[Experiment], str | None]
Check = Callable[[Evidence], Sequence[Finding]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One way in which a network goes wrong.

    ``formula`` is the condition in words and figures, ``help`` the reason for its threshold.
    ``early``: may be asked while layers are still being computed. ``explains``: the rules whose
    findings are consequences where this one found something. ``undecided`` says why the rule cannot
    be asked of a specification (a batch of one, say), or None where it can.
    """

    name: str
    formula: str
    source: str
    help: str
    check: Check
    early: bool = False
    explains: tuple[str, ...] = ()
    undecided: Undecided | None = None


RULES: Registry[Rule] = Registry("rule")


def rule(
    *,
    formula: str,
    source: str,
    help: str,  # noqa: A002  the registry's own word
    early: bool = False,
    explains: tuple[str, ...] = (),
    undecided: Undecided | None = None,
) -> Callable[[Check], Check]:
    """Register the decorated function as the rule of its own name; roots before symptoms."""

    def register(check: Check) -> Check:
        name: str = check.__name__
        RULES.register(Rule(name, formula, source, help, check, early, explains, undecided))
        return check

    return register
