"""From evidence to findings: every rule asked, root causes before their consequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.diagnosis import rules as _registered  # noqa: F401  fills the registry
from engine.diagnosis.evidence import Evidence
from engine.diagnosis.finding import SEVERITIES, Finding, Severity
from engine.diagnosis.rule import RULES

__all__ = ["Verdict", "diagnose", "diagnose_early", "verdict"]


def diagnose_early(evidence: Evidence) -> list[Finding]:
    """What the rules that need not wait for the end find in the records so far."""
    return [f for r in RULES.values() if r.early for f in r.check(evidence)]


def diagnose(evidence: Evidence) -> list[Finding]:
    """Every rule's findings, worst first; one that another explains stands under that other."""
    found = [f for r in RULES.values() for f in r.check(evidence)]
    roots: list[Finding] = []
    for finding in found:
        cause = next((i for i, root in enumerate(roots) if _explains(root, finding)), None)
        if cause is None:
            roots.append(finding)
        else:
            root = roots[cause]
            roots[cause] = replace(root, consequences=[*root.consequences, finding])
    return sorted(roots, key=lambda f: -SEVERITIES.index(f.severity))


def _explains(root: Finding, finding: Finding) -> bool:
    worse = SEVERITIES.index(root.severity) >= SEVERITIES.index(finding.severity)
    return worse and finding.rule in RULES[root.rule].explains


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line in words on the whole experiment."""

    severity: Severity | str
    title: str
    text: str

    def to_dict(self) -> dict[str, str]:
        """As in the stream's summary."""
        return {"severity": self.severity, "title": self.title, "text": self.text}


def verdict(evidence: Evidence, findings: Sequence[Finding]) -> Verdict:
    """The worst finding in words, or what held."""
    if findings and findings[0].severity != "info":
        return Verdict(findings[0].severity, findings[0].title, findings[0].explanation)
    stds = [r.activation.std for r in evidence.ends if r.activation.std is not None]
    depth = evidence.experiment.depth
    layers = "the one layer" if depth == 1 else f"all {depth} layers"
    text = f"std stays within {min(stds):.2g} and {max(stds):.2g} going forward" if stds else ""
    gradients = [r.gradient.rms for r in evidence.ends if r.gradient and r.gradient.rms]
    if gradients:
        text += f", the gradient's rms within {min(gradients):.2g} and {max(gradients):.2g}"
    return Verdict("ok", f"Signal and gradient hold through {layers}", text + ".")
