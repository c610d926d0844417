"""The report as text: plain, or in the markup of rich, which is then not needed to write it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

from layerscope.engine.basis.text import listed
from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.preflight.outcome import Outcome

__all__ = ["coloured", "fix_said", "loss_said", "plain"]

WIDTH = 96
COLOURS = {"error": "bold red", "warning": "yellow", "info": "cyan", "ok": "bold green"}

Mark = Callable[[str, str], str]


def plain(report: Outcome) -> str:
    """Lines of at most 96 characters, but for code and names."""
    return "\n".join(_lines(report, lambda text, _: text))


def coloured(report: Outcome) -> str:
    """The same in rich's markup; brackets in names and messages are escaped."""
    return "\n".join(_lines(report, _rich))


def _rich(text: str, style: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("[", "\\[")
    return f"[{style}]{escaped}[/]" if style else escaped


def _lines(report: Outcome, mark: Mark) -> Iterator[str]:
    head = "ok" if report.ok else str(report.findings[0].severity)
    yield mark(f"Preflight: {report.title}", COLOURS[head])
    told = loss_said(report)
    if told:
        yield mark(told, "")
    for finding in report.findings:
        yield ""
        yield from _finding(finding, mark)
    if report.fixes_not_tried and not report.ok:
        yield ""
        yield mark(f"No fixes were tried: {report.fixes_not_tried}.", "")
    for name, reason in report.unseen.items():
        yield mark(f"The output of {name} could not be read: {reason}", "")


def _finding(finding: Finding, mark: Mark) -> Iterator[str]:
    style = COLOURS[finding.severity]
    yield mark(f"{finding.severity:<8}", style) + mark(f"{finding.title} ({finding.rule})", "bold")
    if finding.modules:
        names = [name or "the model itself" for name in finding.modules]
        yield mark(f"  at {listed(names, 6)}", "")
    for line in textwrap.wrap(finding.explanation, WIDTH - 2):
        yield mark(f"  {line}", "")
    for each in finding.consequences:
        yield mark(f"  follows from it: {each.title} ({each.rule})", "")
    said = fix_said(finding)
    if said:
        yield mark(f"  {said}", style if finding.fix_verified else "")
    if finding.fix and finding.fix.get("code"):
        yield from (mark(f"      {line}", "") for line in finding.fix["code"].splitlines())


def loss_said(report: Outcome) -> str:
    """The loss against the constant predictor's, in words."""
    if report.loss is None:
        return ""
    told = f"{len(report.records)} calls recorded; the loss is {report.loss:.4g}"
    if report.constant_loss is not None:
        told += f", the best constant answer's {report.constant_loss:.4g}"
    return f"{told}."


def fix_said(finding: Finding) -> str:
    """What was tried, and what came of it."""
    fix = finding.fix
    if fix is None:
        return "" if finding.severity == "info" else "No change is known that could be tried."
    tried = fix.get("tried", 0)
    if finding.fix_verified:
        before, after = _number(fix["loss_before"][1]), _number(fix["loss_after"][1])
        return (
            f"Run on a copy, {tried} tried: after {fix['steps']} steps on this batch the loss is "
            f"{after}, without it {before}:"
        )
    if fix.get("code"):
        known = f"; {tried} changes were tried, none learned faster" if tried else ""
        return f"Not verified{known}:"
    return f"A fix was looked for, {tried} changes tried: none was found."


def _number(value: float | None) -> str:
    return "no number" if value is None else f"{value:.3g}"
