"""The grammar of einsum equations, read by a parser of ours because its errors are the lesson.

An equation is accepted exactly where ``torch.einsum`` accepts it (which is more than the notes'
rules allow, and more than NumPy does); what is refused names the rule, the letter and the place.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from layerscope.engine.foundations.errors import LimitError

__all__ = [
    "ELLIPSIS", "LETTERS", "MAX_LENGTH", "RULES", "EinsumError", "EinsumLimitError", "Equation",
    "Term", "build_equation", "parse_equation",
]  # fmt: skip

ELLIPSIS = "..."
LETTERS = string.ascii_uppercase + string.ascii_lowercase
"""Every letter, in the order of an implicit output; a sublist's 0 is ``A``, its 26 ``a``."""
MAX_LENGTH = 200
"""Characters of an equation; eight operands of eight axes need a quarter of it."""

RULES: dict[str, str] = {
    "unknown_character": "An equation is letters a-z and A-Z, commas, an arrow, '...' and spaces.",
    "broken_arrow": "The arrow is '-' and '>' with nothing in between.",
    "two_arrows": "An equation has at most one arrow.",
    "broken_ellipsis": "A dot is part of an ellipsis, three dots with nothing in between.",
    "two_ellipses": "A term, or the output, has at most one ellipsis.",
    "comma_in_output": "There is one output, so no comma to the right of the arrow.",
    "unknown_output_letter": "An output letter must name an axis of some operand.",
    "repeated_output_letter": "A letter stands at most once in the output.",
    "no_operand": "There is at least one operand.",
    "missing_operand": "Every term has its operand.",
    "missing_term": "Every operand has its term; terms are separated by commas.",
    "dimension_count": "A term names every axis of its operand, but for those an ellipsis covers.",
    "diagonal_sizes": "A letter repeated in a term takes a diagonal, so its axes are equally long.",
    "letter_sizes": "A letter has one size wherever it stands; only 1 is stretched to another.",
    "ellipsis_sizes": "The axes under ellipses broadcast: aligned from the right, equal or 1.",
    "sublist_syntax": "The sublist form is a list of numbers for each operand, then the output's.",
    "sublist_range": "A number of the sublist form is one of 0 to 51, as there are 52 letters.",
    "negative_size": "The size of an axis is not negative.",
    "limit": "Equations and tensors here are small enough to be looked at.",
}
"""Every rule that can be broken, by its stable name, in one sentence."""


class EinsumError(ValueError):
    """A rule is broken.

    Attributes:
        rule: name of the rule, a key of `RULES`.
        position: index into the equation's text, from 0, of what broke it; None where that is no
            one place, such as a missing operand.
        letter: the letter (or, in the sublist form, number) it is about, if it is about one.
    """

    def __init__(
        self, rule: str, message: str, *, position: int | None = None, letter: str | None = None
    ) -> None:
        ValueError.__init__(self, message)  # not super(): a limit error has two parents
        self.rule = rule
        self.position = position
        self.letter = letter

    def to_dict(self) -> dict[str, str | int | None]:
        """The broken rule as a page shows it: its name, its sentence, what happened and where."""
        return {
            "rule": self.rule,
            "sentence": RULES[self.rule],
            "message": str(self),
            "position": self.position,
            "letter": self.letter,
        }


class EinsumLimitError(EinsumError, LimitError):
    """Something larger than allowed, refused before it is allocated."""

    def __init__(self, limit: str, allowed: int, asked: int) -> None:
        message = f"{limit}: {asked} asked for, at most {allowed} allowed"
        EinsumError.__init__(self, "limit", message)
        self.limit = limit
        self.allowed = allowed
        self.asked = asked


@dataclass(frozen=True, slots=True)
class Term:
    """The subscripts of one operand, or of the output."""

    subscripts: tuple[str, ...]
    """Letters and ``...``, one for each axis or run of axes."""
    positions: tuple[int, ...]
    """Where each subscript stands in the equation's text."""
    start: int
    """Where the term begins, even when it is empty."""

    @property
    def letters(self) -> tuple[str, ...]:
        """The subscripts without the ellipsis."""
        return tuple(letter for letter in self.subscripts if letter != ELLIPSIS)

    @property
    def has_ellipsis(self) -> bool:
        return ELLIPSIS in self.subscripts

    def __str__(self) -> str:
        return "".join(self.subscripts)


@dataclass(frozen=True, slots=True)
class Equation:
    """A parsed equation: terms, and an output that is stated or follows from them."""

    text: str
    terms: tuple[Term, ...]
    output: Term
    explicit: bool
    """The output was written, not implied."""
    sublist: bool = False
    """Written as lists of numbers."""

    @property
    def canonical(self) -> str:
        """The equation with its output written out and without spaces."""
        return f"{','.join(map(str, self.terms))}->{self.output}"

    def shown(self, letter: str) -> str:
        """A letter as it was typed: itself, or its number in the sublist form."""
        return str(LETTERS.index(letter)) if self.sublist and letter in LETTERS else letter

    def term_text(self, term: Term) -> str:
        """A term as it was typed."""
        if self.sublist:
            return f"[{', '.join(map(self.shown, term.subscripts))}]"
        return str(term)


def parse_equation(text: str) -> Equation:
    """Read an equation of letters.

    Without an arrow the output is implied: the axes of an ellipsis, then the letters that occur
    once in all terms together, in alphabetical order, capitals first.

    Errors:
        `EinsumError` naming the broken rule.

    >>> parse_equation("ik, kj -> ij").canonical, parse_equation("bA").canonical
    ('ik,kj->ij', 'bA->Ab')
    >>> parse_equation("ij->ik")
    Traceback (most recent call last):
        ...
    layerscope.engine.foundations.einsum.grammar.EinsumError: output letter 'k' at index 5 is in \
no term (ij); an output letter must name an axis of some operand
    """
    if len(text) > MAX_LENGTH:
        raise EinsumLimitError("characters of the equation", MAX_LENGTH, len(text))
    arrow = text.find("->")
    end = len(text) if arrow < 0 else arrow
    terms: list[Term] = []
    start = 0
    for comma in [*(i for i in range(end) if text[i] == ","), end]:
        terms.append(_term(text, start, comma, f"the term of operand {len(terms)}"))
        start = comma + 1
    output = None if arrow < 0 else _term(text, arrow + 2, len(text), "the output")
    return build_equation(text, tuple(terms), output, sublist=False)


def build_equation(
    text: str, terms: tuple[Term, ...], output: Term | None, *, sublist: bool
) -> Equation:
    """Complete the output, or check the one that was written."""
    counts = Counter(letter for term in terms for letter in term.letters)
    if output is None:
        # Under an ellipsis of no operand there is nothing to keep.
        kept = (ELLIPSIS,) if any(term.has_ellipsis for term in terms) else ()
        once = sorted(letter for letter, count in counts.items() if count == 1)
        implied = Term((*kept, *once), (), len(text))
        return Equation(text, terms, implied, explicit=False, sublist=sublist)
    equation = Equation(text, terms, output, explicit=True, sublist=sublist)
    seen: set[str] = set()
    for letter, position in zip(output.subscripts, output.positions, strict=True):
        if letter == ELLIPSIS:
            continue
        shown = equation.shown(letter)
        noun = f"output number {shown}" if sublist else f"output letter {shown!r}"
        if letter not in counts:
            have = ", ".join(map(equation.term_text, terms))
            raise EinsumError(
                "unknown_output_letter",
                f"{noun} at index {position} is in no term ({have}); an output letter must name "
                "an axis of some operand",
                position=position,
                letter=shown,
            )
        if letter in seen:
            raise EinsumError(
                "repeated_output_letter",
                f"{noun} at index {position} is in the output already; a letter stands there "
                "at most once",
                position=position,
                letter=shown,
            )
        seen.add(letter)
    return equation


def _term(text: str, start: int, end: int, where: str) -> Term:
    subscripts: list[str] = []
    positions: list[int] = []
    for position, subscript in _subscripts(text, start, end, where):
        if subscript == ELLIPSIS and ELLIPSIS in subscripts:
            raise EinsumError(
                "two_ellipses",
                f"second '...' at index {position} in {where}; one covers all axes it can",
                position=position,
            )
        subscripts.append(subscript)
        positions.append(position)
    return Term(tuple(subscripts), tuple(positions), start)


def _subscripts(text: str, start: int, end: int, where: str) -> Iterator[tuple[int, str]]:
    position = start
    while position < end:
        character = text[position]
        if character == ".":
            if text[position : min(position + 3, end)] != ELLIPSIS:
                raise EinsumError(
                    "broken_ellipsis",
                    f"'.' at index {position} in {where} is not part of an ellipsis; "
                    "expected '...'",
                    position=position,
                )
            yield position, ELLIPSIS
            position += 3
            continue
        if character in LETTERS:
            yield position, character
        elif character != " ":
            raise _misplaced(text, position, where)
        position += 1


def _misplaced(text: str, position: int, where: str) -> EinsumError:
    character = text[position]
    if text.startswith("->", position):  # the first arrow ended the terms
        rule, message = "two_arrows", f"second '->' at index {position}; expected at most one"
    elif character in "->":
        rule = "broken_arrow"
        message = f"{character!r} at index {position} in {where} is not part of an arrow '->'"
    elif character == ",":  # before the arrow it ends a term
        rule = "comma_in_output"
        message = f"',' at index {position} in the output; there is one output only"
    else:
        rule = "unknown_character"
        message = f"{character!r} at index {position} in {where}; expected a letter a-z or A-Z"
    return EinsumError(rule, message, position=position, letter=character)
