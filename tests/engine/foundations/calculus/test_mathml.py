"""MathML: well-formed without a DTD, nothing in it that only SymPy understands."""

import xml.etree.ElementTree as ET

import pytest
import sympy

from layerscope.engine.foundations.calculus.mathml import equation, text

x, t = sympy.symbols("x t", real=True)
TAGS = {
    "math", "mi", "mn", "mo", "mrow", "mfrac", "msup", "msqrt", "mtable", "mtr", "mtd", "mtext",
}  # fmt: skip

EXPRESSIONS = [
    x, sympy.Integer(-3), sympy.Float("0.044715", 17), (x - t) ** 2, sympy.exp(-x) / (1 + x) ** 2,
    sympy.Max(0, x), sympy.Abs(x), sympy.erf(x / sympy.sqrt(2)) / sympy.sqrt(sympy.pi),
    sympy.tanh(sympy.log(1 + sympy.exp(x))) ** 2, sympy.sqrt(x), 2 * x * sympy.exp(x),
    sympy.Piecewise((-x, x < -1), (x**2, x <= 1), (x, True)),
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_markup_is_plain_xml(expression: sympy.Expr) -> None:
    root = ET.fromstring(equation("y", expression))  # noqa: S314  our own text
    tags = {
        element.tag.removeprefix("{http://www.w3.org/1998/Math/MathML}") for element in root.iter()
    }
    assert tags <= TAGS
    words = "".join(root.itertext())
    assert "&" not in words
    assert "piecewise" not in words.lower()
    assert words.startswith("y=")


def shown(expression: object) -> str:
    root = ET.fromstring(equation("y", expression))  # noqa: S314
    return "".join(root.itertext()).replace("\u2062", "·")


def test_what_is_shown() -> None:
    assert shown(x - t) == "y=x-t"
    assert shown(sympy.Float("0.044715", 17) * x) == "y=0.044715·x"
    assert shown(sympy.exp(x) * x) == "y=x·ex"
    assert shown(sympy.log(x)) == "y=ln(x)"
    assert shown(sympy.Piecewise((0, x < -1), (x, True))) == "y={0if x < −1xotherwise"
    assert shown([(x, "x > 0"), (sympy.Integer(0), "x < 0")]) == "y={xif x > 00if x < 0"


def test_plain_text() -> None:
    assert text((x - t) ** 2) == "(x - t)**2"
    assert text(1 / (1 + x) ** 2) == "1/(x + 1)**2"
    assert text(sympy.Float("0.044715", 17) * x**3) == "0.044715*x**3"
    assert text(sympy.Piecewise((0, x < -1), (x, True))) == "0 if x < -1; x otherwise"
    assert text([(x, "x > 0"), (sympy.Integer(0), "x ≤ 0")]) == "x if x > 0; 0 if x ≤ 0"
    assert text([(x, "")]) == "x"
