"""A result in words: the verdict, what was found, what helps, the check and theory in a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from layerscope.app.figures.text import number
from layerscope.app.pages.lab.findings import FindingWords
from layerscope.app.pages.lab.fixes import FixLink
from layerscope.engine.theory import Prediction

__all__ = ["TERMS", "Line", "Term", "VerdictWords", "check_line", "theory_line"]

MATCH = 1e-3
"""Beyond rounding of float32 through some dozen layers, "match" would say too much."""
AS_FAR = 2.0  # times PyTorch's own error in the same format: no more than its rounding
FAULTY = ("warning", "error")


class Line(NamedTuple):
    """A line of text, and more of it for whoever points at it."""

    text: str = ""
    more: str = ""


class Term(NamedTuple):
    """A figure of theory, and what it is."""

    name: str
    meaning: str


NOTHING = Line()
TERMS = (
    Term("σw²", "the weights' variance times the number of inputs: how much a layer amplifies"),
    Term("σb²", "the variance of the biases, added at every layer"),
    Term("χ₁", "what a layer multiplies the square of the gradient by: 1 keeps it, less loses it"),
    Term("phase", "ordered: inputs become alike; chaotic: they drift apart; critical: neither"),
    Term("trainable depth", "how many layers a difference between two inputs survives"),
)


@dataclass(frozen=True, slots=True)
class VerdictWords:
    """What stands on the page about an experiment, or why it was not run.

    ``undecided`` are the rules that could not be asked, each with the reason; ``fixes`` are those
    that helped, by the place of their finding, all of them once ``searched``; ``unfixed`` is why
    none was tried.
    """

    severity: str
    title: str
    text: str
    findings: Sequence[FindingWords] = ()
    undecided: Sequence[tuple[str, str]] = ()
    fixes: Mapping[int, FixLink] = field(default_factory=dict)
    searched: bool = True
    unfixed: str = ""
    check: Line = NOTHING
    theory: Line = NOTHING
    terms: Sequence[Term] = ()
    """What the theory's line speaks of, a sentence each."""
    tried: str = ""
    """What came of training the experiment itself a little; ``text`` says it too."""
    trying: bool = False
    """Whether that is under way: till then nobody knows whether what was found hinders it."""

    @property
    def count(self) -> int:
        """How many findings, consequences included."""
        return sum(map(_with_consequences, self.findings))

    @property
    def best(self) -> FixLink | None:
        """The fix of the worst finding that has one."""
        return self.fixes[min(self.fixes)] if self.fixes else None

    @property
    def none_helps(self) -> bool:
        """Whether everything was tried, and nothing helped."""
        return self.faulty and self.searched and not self.fixes

    @property
    def faulty(self) -> bool:
        """Whether a fix is looked for."""
        return bool(self.findings) and self.severity in FAULTY

    @property
    def settled(self) -> bool:
        """Whether no more fixes can come."""
        return self.searched or not self.faulty

    @property
    def waiting(self) -> bool:
        """Whether it says that something more is to come."""
        return self.trying or not self.decided

    @property
    def decided(self) -> bool:
        """Whether it is known what to say about fixes."""
        return bool(self.fixes) or self.settled


def _with_consequences(finding: FindingWords) -> int:
    return 1 + sum(map(_with_consequences, finding.consequences))


def check_line(check: Mapping[str, Any]) -> Line:
    """The comparison of the gradients with autograd.

    >>> check_line({"autograd_max_relative_error": 2.9e-7}).text
    'gradients match autograd, max relative error 2.90×10⁻⁷'
    >>> narrow = {"autograd_max_relative_error": 0.8, "torch_max_relative_error": 0.7}
    >>> check_line(narrow).text.partition(" from ")[2]
    "float64's; PyTorch's own in this format 0.700"
    """
    error = check.get("autograd_max_relative_error")
    if error is None:
        text = check.get("reason") or "no gradient to compare with autograd"
    else:
        own = check.get("torch_max_relative_error")
        verb = "match" if error < max(MATCH, AS_FAR * (own or 0.0)) else "against"
        text = f"gradients {verb} autograd, max relative error {number(error)}"
        if own is not None and error >= MATCH:
            text += f" from float64's; PyTorch's own in this format {number(own)}"
    if not check.get("worst"):
        return Line(text)
    counts = f"{check['compared']} tensors compared, {check['skipped']} skipped"
    return Line(text, f"largest at {check['worst']}; {counts}")


def theory_line(theory: Prediction) -> Line:
    """What theory says of the setting, or why it says nothing."""
    more = "; ".join(theory.notes)
    if not theory.available:
        return Line(theory.reason or "", more)
    figures = (
        ("σw² = ", theory.sigma_w2),
        ("σb² = ", theory.sigma_b2),
        ("χ₁ = ", theory.chi1),
        ("", theory.phase),
        ("trainable depth about ", theory.trainable_depth),
    )
    known = [
        name + (value if isinstance(value, str) else number(value))
        for name, value in figures
        if value is not None
    ]
    return Line(f"theory: {', '.join(known)}", more)
