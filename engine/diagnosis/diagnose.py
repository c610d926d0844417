"""From evidence to findings: every rule asked, root causes before their consequences."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from layerscope.engine.diagnosis import rules as _registered  # noqa: F401  fills the registry
from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import SEVERITIES, Finding, Severity
from layerscope.engine.diagnosis.roots import rooted
from layerscope.engine.diagnosis.rule import RULES

__all__ = [
    "Verdict", "diagnose", "diagnose_early", "follows", "found_by", "undecided", "verdict",
]  # fmt: skip


def diagnose_early(evidence: Evidence) -> list[Finding]:
    """What the rules that need not wait for the end find in the records so far."""
    return found_by(evidence, [name for name, rule in RULES.items() if rule.early])


def diagnose(evidence: Evidence, rules: Collection[str] = RULES) -> list[Finding]:
    """What each of the ``rules`` finds, worst first, and of equally bad ones that which explains
    most; what one explains of another stands under it."""
    found = found_by(evidence, rules)
    roots = rooted(found, follows)
    return sorted(
        roots,
        key=lambda f: (-SEVERITIES.index(f.severity), -len(RULES[f.rule].explains)),
    )


def follows(cause: Finding, effect: Finding) -> bool:
    """Whether what a rule found in a pass can be the cause of what another found: a mechanism is
    known, and it begins no later on the way forward and back.

    >>> from layerscope.engine.diagnosis.gathering import gather
    >>> from layerscope.engine.experiment.specification import Experiment
    >>> silent, lost = found_by(gather(Experiment(depth=8, init="normal", init_scale=0.01)))
    >>> silent.rule, lost.rule, follows(silent, lost), follows(lost, silent)
    ('vanishing_activation', 'vanishing_gradient', True, False)
    """
    rule = RULES[cause.rule]
    if cause.severity == "info" and not rule.harmless_alone:
        return False
    if effect.rule in rule.covers:
        return True
    return effect.rule in rule.explains and _begins(cause) <= _begins(effect)


def _begins(finding: Finding) -> tuple[bool, int]:
    """Where on the way through the network and back a finding begins."""
    if finding.direction == "backward":
        return True, -finding.layers[1]
    return False, finding.layers[0]


def found_by(evidence: Evidence, rules: Collection[str] = RULES) -> list[Finding]:
    """What each of the ``rules`` finds, each for itself, in the order of the pass."""
    asked = (RULES[name] for name in rules)
    answers = (r.find(evidence) for r in asked if not (r.undecided and r.undecided(evidence)))
    return sorted((finding for finding in answers if finding), key=_begins)


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
    """The worst finding in words, the first of them, or what held."""
    worst = max(findings, key=lambda f: SEVERITIES.index(f.severity), default=None)
    if worst is not None and worst.severity != "info":
        return Verdict(worst.severity, worst.title, worst.explanation)
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
