"""The sublist form of an equation: lists of numbers, ``[..., 0, 1], [..., 1, 2], [..., 0, 2]``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import EllipsisType

from layerscope.engine.foundations.einsum.grammar import (
    ELLIPSIS,
    LETTERS,
    MAX_LENGTH,
    EinsumError,
    EinsumLimitError,
    Equation,
    Term,
    build_equation,
    parse_equation,
)

__all__ = ["parse", "parse_sublist"]

_TOKEN = re.compile(r" *(?:(\.\.\.)|([0-9]+)|([A-Za-z_][A-Za-z0-9_]*)|([\[\],]))", re.ASCII)

Structure = Sequence[Sequence[int | EllipsisType]]


def parse(text: str, operands: int) -> Equation:
    """Read either form for that many operands; a bracket, no part of an equation, tells them apart.

    Errors:
        `EinsumError` naming the broken rule.

    >>> parse("[0, 1], [1, 2]", 2).canonical, parse("ik,kj", 2).canonical
    ('AB,BC->AC', 'ik,kj->ij')
    """
    return parse_sublist(text, operands) if "[" in text else parse_equation(text)


def parse_sublist(source: str | Structure, operands: int | None = None) -> Equation:
    """Read lists of axis numbers, one for each operand, then, if there is one more, the output's.

    Args:
        source: the lists as text, with or without the operands' names before them, as in
            ``As, [..., 0, 1], Bs, [..., 1, 2], [..., 0, 2]``; or as a list of lists.
        operands: how many operands there are; when None the names tell, and without names the
            last of several lists is the output.

    Errors:
        `EinsumError` naming the broken rule.

    >>> parse_sublist("As, [..., 0, 1], Bs, [..., 1, 2], [..., 0, 2]").canonical
    '...AB,...BC->...AC'
    >>> parse_sublist([[0, 1], [1, 0]], operands=1).canonical
    'AB->BA'
    """
    text = source if isinstance(source, str) else _written(source)
    if len(text) > MAX_LENGTH:
        raise EinsumLimitError("characters of the equation", MAX_LENGTH, len(text))
    lists, named = _lists(text)
    has_output = len(lists) > 1 if operands is None else len(lists) == operands + 1
    if any(named):
        # Names say which lists belong to operands: all of them, but for an output at the end.
        has_output = not named[-1]
        if not all(named[:-1] if has_output else named):
            at = lists[named.index(False)].start
            raise _syntax(at, "a list without an operand's name before it, which is not the last")
    terms = tuple(lists[:-1] if has_output else lists)
    return build_equation(text, terms, lists[-1] if has_output else None, sublist=True)


def _written(structure: Structure) -> str:
    rows = (", ".join(ELLIPSIS if s is Ellipsis else str(s) for s in row) for row in structure)
    return ", ".join(f"[{row}]" for row in rows)


def _tokens(text: str) -> list[tuple[int, str]]:
    tokens: list[tuple[int, str]] = []
    position, end = 0, len(text.rstrip(" "))
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            at = position + len(text[position:]) - len(text[position:].lstrip(" "))
            raise _syntax(at, repr(text[at]))
        token = match[match.lastindex or 0]
        tokens.append((match.end() - len(token), token))
        position = match.end()
    return [*tokens, (len(text), "")]


def _lists(text: str) -> tuple[list[Term], list[bool]]:
    # items separated by commas, each [subscripts] or a name followed by a comma and [subscripts]
    tokens = _tokens(text)
    lists: list[Term] = []
    named: list[bool] = []
    index = 0
    while True:
        name = tokens[index][1].isidentifier()
        if name:
            index = _expect(tokens, index + 1, ",")
        term, index = _list(tokens, _expect(tokens, index, "["), len(lists))
        lists.append(term)
        named.append(name)
        if tokens[index][1] == "":
            return lists, named
        index = _expect(tokens, index, ",")


def _expect(tokens: list[tuple[int, str]], index: int, wanted: str) -> int:
    position, token = tokens[index]
    if token != wanted:
        raise _syntax(position, repr(token) if token else "the end", wanted)
    return index + 1


def _list(tokens: list[tuple[int, str]], index: int, number: int) -> tuple[Term, int]:
    start = tokens[index - 1][0]
    subscripts: list[str] = []
    positions: list[int] = []
    while tokens[index][1] != "]" or subscripts:
        position, token = tokens[index]
        subscripts.append(_subscript(position, token, subscripts, number))
        positions.append(position)
        index += 1
        if tokens[index][1] == "]":
            break
        index = _expect(tokens, index, ",")
    return Term(tuple(subscripts), tuple(positions), start), index + 1


def _subscript(position: int, token: str, before: list[str], number: int) -> str:
    if token == ELLIPSIS:
        if ELLIPSIS in before:
            raise EinsumError(
                "two_ellipses",
                f"second '...' at index {position} in list {number}; one covers all axes it can",
                position=position,
            )
        return ELLIPSIS
    if not token.isdecimal():
        raise _syntax(position, repr(token) if token else "the end", "a number or ...")
    if len(token) > 2 or int(token) >= len(LETTERS):
        raise EinsumError(
            "sublist_range",
            f"{token} at index {position} in list {number}; expected 0 to {len(LETTERS) - 1}",
            position=position,
            letter=token,
        )
    return LETTERS[int(token)]


def _syntax(position: int, found: str, wanted: str = "") -> EinsumError:
    expected = f"{wanted!r}" if wanted in ("[", ",", "]") else wanted
    tail = f"expected {expected}" if expected else "expected lists like [..., 0, 1], [1, 2]"
    return EinsumError("sublist_syntax", f"{found} at index {position}; {tail}", position=position)
