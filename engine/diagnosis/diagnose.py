"""From evidence to findings: every rule asked, root causes before their consequences."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache

from msgspec.structs import replace

from layerscope.engine.diagnosis import rules as _registered  # noqa: F401  fills the registry
from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import SEVERITIES, Finding, Severity
from layerscope.engine.diagnosis.rule import RULES

__all__ = ["Verdict", "diagnose", "diagnose_early", "explained_by", "undecided", "verdict"]


def diagnose_early(evidence: Evidence) -> list[Finding]:
    """What the rules that need not wait for the end find in the records so far."""
    return _found(evidence, [name for name, rule in RULES.items() if rule.early])


def diagnose(evidence: Evidence, rules: Collection[str] = RULES) -> list[Finding]:
    """What each of the ``rules`` finds, worst first, and of equally bad ones that which explains
    most; what one explains of another stands under it."""
    found = _found(evidence, rules)
    names = {f.rule for f in found if f.severity != "info"}  # a note causes nothing
    roots = [f for f in found if not any(f.rule in explained_by(name) for name in names)]
    symptoms = [f for f in found if f not in roots]
    for finding in symptoms:
        place = next(
            i for i, root in enumerate(roots)
            if root.severity != "info" and finding.rule in explained_by(root.rule)
        )  # fmt: skip
        root = roots[place]
        roots[place] = replace(
            root,
            consequences=[*root.consequences, finding],
            severity=max(root.severity, finding.severity, key=SEVERITIES.index),
        )
    return sorted(roots, key=lambda f: (-SEVERITIES.index(f.severity), -len(explained_by(f.rule))))


@cache
def explained_by(name: str) -> frozenset[str]:
    """The rules whose findings are consequences, near or far, where rule ``name`` found something.

    >>> "vanishing_gradient" in explained_by("symmetry")
    True
    """
    found: set[str] = set()
    ahead = list(RULES[name].explains)
    while ahead:
        rule = ahead.pop()
        if rule not in found:
            found.add(rule)
            ahead += RULES[rule].explains
    return frozenset(found)


def _found(evidence: Evidence, rules: Collection[str]) -> list[Finding]:
    asked = (RULES[name] for name in rules)
    answers = (r.find(evidence) for r in asked if not (r.undecided and r.undecided(evidence)))
    return [finding for finding in answers if finding]


def undecided(evidence: Evidence) -> list[dict[str, str]]:
    """The rules that cannot be asked of ``evidence``, each with the reason."""
    reasons = [(r.name, r.undecided(evidence)) for r in RULES.values() if r.undecided]
    return [{"rule": name, "reason": reason} for name, reason in reasons if reason]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line in words on the whole network."""

    severity: Severity | str
    title: str
    text: str


def verdict(evidence: Evidence, findings: Sequence[Finding]) -> Verdict:
    """The worst finding in words, or what held."""
    if findings and findings[0].severity != "info":
        return Verdict(findings[0].severity, findings[0].title, findings[0].explanation)
    stds = [r.activation.std for r in evidence.block_outputs if r.activation.std is not None]
    depth = evidence.depth
    layers = "the one layer" if depth == 1 else f"all {depth} layers"
    said = [f"the std of the outputs is {_between(stds)}"] if stds else []
    gradients = [r.gradient.rms for r in evidence.block_outputs if r.gradient and r.gradient.rms]
    if gradients:
        said.append(f"the gradient's rms is {_between(gradients)}")
    text = " and ".join(said)
    came = all(r.gradient is None or r.gradient.rms != 0 for r in evidence.block_outputs)
    later = f"The signal holds through {layers}; the gradient comes with the first steps"
    return Verdict(
        "ok",
        f"Signal and gradient hold through {layers}" if came else later,
        f"{text[:1].upper()}{text[1:]}." * bool(said),
    )


def _between(figures: Sequence[float]) -> str:
    low, high = f"{min(figures):.2g}", f"{max(figures):.2g}"
    return low if low == high else f"between {low} and {high}"
