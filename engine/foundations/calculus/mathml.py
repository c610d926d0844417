"""SymPy expressions as MathML presentation markup and as plain text.

SymPy's own printer lacks ``Piecewise``, leaves ``<`` unescaped and writes named entities, which
only an HTML parser knows; this one writes well-formed XML. Importing this module imports SymPy,
which takes a while: do so only where it is needed.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any
from xml.dom.minidom import Document, Element, Text

from sympy.printing.mathml import MathMLPresentationPrinter
from sympy.printing.str import StrPrinter

__all__ = ["Pieces", "equation", "text"]

NAMESPACE = "http://www.w3.org/1998/Math/MathML"

Pieces = Sequence[tuple[Any, str]]
"""Expressions, each with the condition under which it holds, in words and signs."""


def _positive_first(terms: Sequence[Any]) -> list[Any]:
    """x − t rather than −t + x, which the alphabet would have."""
    return sorted(terms, key=lambda term: bool(term.could_extract_minus_sign()))


class _Markup(MathMLPresentationPrinter):  # type: ignore[misc]  # SymPy is untyped
    def __init__(self) -> None:
        super().__init__({"ln_notation": True})
        self.dom = Document()  # SymPy's own is changed so as not to escape text

    def _as_ordered_terms(self, expr: Any, order: str | None = None) -> list[Any]:
        return _positive_first(super()._as_ordered_terms(expr, order))

    def _print_Exp1(self, expr: Any) -> Element:  # noqa: ARG002, N802  SymPy's dispatch by name
        return self.leaf("mi", "e")

    def _print_Float(self, expr: Any) -> Element:  # noqa: N802
        return self.leaf("mn", repr(float(expr)))

    def _print_Piecewise(self, expr: Any) -> Element:  # noqa: N802
        return self.cases([(piece, text(condition)) for piece, condition in expr.args])

    def leaf(self, tag: str, content: str) -> Element:
        element: Element = self.dom.createElement(tag)
        element.appendChild(self.dom.createTextNode(content))
        return element

    def row(self, tag: str, *children: Element) -> Element:
        element: Element = self.dom.createElement(tag)
        for child in children:
            element.appendChild(child)
        return element

    def cases(self, pieces: Pieces) -> Element:
        """A brace, and one line for each piece."""
        table = self.row("mtable", *(self._case(*piece) for piece in pieces))
        table.setAttribute("columnalign", "left left")
        return self.row("mrow", self.leaf("mo", "{"), table)

    def _case(self, expression: Any, condition: str) -> Element:
        words = self.row("mtd", self.leaf("mtext", _spoken(condition).replace("-", "−")))
        return self.row("mtr", self.row("mtd", self._print(expression)), words)


class _Text(StrPrinter):  # type: ignore[misc]  # SymPy is untyped
    def _as_ordered_terms(self, expr: Any, order: str | None = None) -> list[Any]:
        return _positive_first(super()._as_ordered_terms(expr, order))

    def _print_Pow(self, expr: Any, rational: bool = False) -> str:  # noqa: N802
        if expr.exp.is_Integer and expr.exp < -1:
            return f"1/{self._print(expr.base**-expr.exp)}"
        printed: str = super()._print_Pow(expr, rational)
        return printed

    def _print_Float(self, expr: Any) -> str:  # noqa: N802
        return repr(float(expr))

    def _print_Relational(self, expr: Any) -> str:  # noqa: N802
        sign = {"<=": "≤", ">=": "≥", "!=": "≠"}.get(expr.rel_op, expr.rel_op)
        return f"{self._print(expr.lhs)} {sign} {self._print(expr.rhs)}"

    def _print_Piecewise(self, expr: Any) -> str:  # noqa: N802
        return text([(piece, text(condition)) for piece, condition in expr.args])


def _spoken(condition: str) -> str:
    return {"True": "otherwise", "": ""}.get(condition, f"if {condition}")


def text(expression: Any) -> str:
    """An expression, a condition or `Pieces` in plain text.

    >>> import sympy
    >>> x = sympy.Symbol("x", real=True)
    >>> text(sympy.Piecewise((x, x > 0), (sympy.exp(x) - 1, True)))
    'x if x > 0; exp(x) - 1 otherwise'
    """
    if isinstance(expression, Sequence):
        return "; ".join(f"{text(e)} {_spoken(condition)}".strip() for e, condition in expression)
    printed: str = _Text().doprint(expression)
    return printed


def equation(left: str, right: Any) -> str:
    """A ``<math>`` element that says ``left`` = ``right``; ``right`` an expression or `Pieces`.

    >>> import sympy
    >>> equation("y", sympy.Symbol("x"))  # doctest: +ELLIPSIS
    '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"><mi>y</mi><mo>=</mo>...'
    """
    printer = _Markup()
    body = printer.cases(right) if isinstance(right, Sequence) else printer._print(right)
    root = printer.row("math", printer.leaf("mi", left), printer.leaf("mo", "="), body)
    root.setAttribute("xmlns", NAMESPACE)
    root.setAttribute("display", "block")
    _resolve(root)
    markup: str = root.toxml()
    return markup


def _resolve(element: Element) -> None:
    """Turn the printer's entities, which are text to the DOM, into the characters they name."""
    for child in element.childNodes:
        if isinstance(child, Text):
            child.data = html.unescape(child.data)
        elif isinstance(child, Element):
            _resolve(child)
