"""An origin in words: the operation with its figures, and what it ran into."""

from __future__ import annotations

import math
from itertools import islice

import torch

from layerscope.engine.basis.text import dtype_name
from layerscope.engine.execution.provenance.origin import Operand, Origin

__all__ = ["figure", "in_words"]

SIGNS = {"add": " + ", "sub": " − ", "mul": " · ", "div": " / ", "pow": "^"}
CUTS = {
    "relu": "max(0, {0})", "clamp_min": "max({1}, {0})", "clamp_max": "min({1}, {0})",
    "clamp": "min({2}, max({1}, {0}))", "neg": "−({0})", "square": "({0})²",
    "reciprocal": "1 / {0}", "rsqrt": "1/√({0})", "sqrt": "√({0})", "erf": "erf {0}",
    "exp": "e^({0})", "log": "ln {0}", "log1p": "ln(1 + {0})", "expm1": "e^({0}) − 1",
    **dict.fromkeys(("_to_copy", "to", "convert_element_type", "where", "masked_fill"), "{0}"),
}  # fmt: skip
"""How operations of one number are written."""
KEPT_BELOW = frozenset({"relu", "clamp_min", "clamp", "threshold", "hardtanh"})


def figure(value: float) -> str:
    """A number in three digits, as it is read aloud.

    >>> figure(-1e-30), figure(math.inf), figure(-math.inf), figure(math.nan), figure(-0.0)
    ('−1e-30', 'Inf', '−Inf', 'NaN', '0')
    """
    if math.isnan(value):
        return "NaN"
    size = "Inf" if math.isinf(value) else f"{abs(value):.3g}"
    return f"−{size}" if value < 0 else size


def in_words(found: Origin, dtype: torch.dtype) -> str:
    """The operation with its figures, and what it ran into in ``dtype``.

    >>> big = Operand(1e30, "x", (0,))
    >>> in_words(Origin("mul", (0,), (big, big), math.inf, 1e60), torch.float32)
    "1e+30 · 1e+30 = 1e+60 is beyond float32's largest number, 3.4e+38"
    >>> inf = Operand(math.inf)
    >>> in_words(Origin("sub", (0,), (inf, inf), math.nan), torch.float32)
    'Inf − Inf = NaN'
    """
    if not found.made_here:
        (operand,) = found.operands
        name = operand.name or "the input"
        if found.every is not None:
            return f"{name} is 0 in {_all(found.every)}"
        return f"{name}{_place(operand)} is {figure(operand.value)}"
    if found.every is not None and found.operation in KEPT_BELOW:
        largest = figure(found.operands[0].value)
        bound = figure(found.operands[1].value if len(found.operands) > 1 else 0.0)
        made = f"{_expression(found)} = {figure(found.result)}"
        if found.every == 1:
            return f"its only input, {largest}, is at most {bound}: {made}"
        return f"all {found.every:,} inputs are at most {bound}, the largest is {largest}: {made}"
    if found.because is not None:
        return f"{found.because} makes it {figure(found.result)}{_nearest(found)}"
    told = _finite if math.isfinite(found.result) else _not_finite
    return told(found, dtype) + _earlier(found, dtype)


def _earlier(found: Origin, dtype: torch.dtype) -> str:
    return f"; there {in_words(found.before, dtype)}" if found.before is not None else ""


def _not_finite(found: Origin, dtype: torch.dtype) -> str:
    said, exact, largest = _expression(found), found.exact, torch.finfo(dtype).max
    limit = f"{dtype_name(dtype)}'s largest number, {largest:.2g}"
    if math.isnan(found.result):
        terms = _terms(found)
        if found.terms and all(math.isfinite(t) for t in terms):
            if len(terms) > 1 and min(map(abs, terms)) > largest:
                return f"{said}: both are beyond {limit}, and Inf − Inf = NaN"
            # Of finite terms only partial sums can have passed the largest number, either way.
            return f"{said}: partial sums pass {limit}, both ways, and Inf − Inf = NaN"
        if found.terms and {math.inf, -math.inf} & set(terms) and any(map(math.isfinite, terms)):
            return f"{said}: finite terms pass {limit}, the other way, and Inf − Inf = NaN"
        opposed = {t for t in terms if math.isinf(t)} == {math.inf, -math.inf}
        return f"{said} = Inf − Inf = NaN" if found.terms and opposed else f"{said} = NaN"
    if exact is None or math.isinf(exact):
        return f"{said} = {figure(found.result)}"
    if abs(exact) > largest:
        return f"{said} = {figure(exact)} is beyond {limit}"
    if found.terms:
        return f"{said} = {figure(exact)}, but a partial sum is beyond {limit}"
    return f"{said} = {figure(found.result)}"


def _finite(found: Origin, dtype: torch.dtype) -> str:
    said, exact = _expression(found), found.exact
    if found.result or not exact:
        return f"{said} = {figure(found.result)}{_nearest(found)}"
    smallest = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    if abs(exact) < smallest:
        limit = f"{dtype_name(dtype)}'s smallest number, {smallest:.2g}"
        return f"{said} = {figure(exact)} is below {limit}{_nearest(found)}"
    return f"{said} = {figure(exact)}, of which rounding leaves 0{_nearest(found)}"


def _nearest(found: Origin) -> str:
    """What is said of the other entries, where all of them are zero."""
    if found.every is None:
        return ""
    if found.every == 1:
        return ""
    averaged = next((o for o in found.operands if o.made_by == "mean"), None)
    if found.operation == "sub" and averaged is not None and averaged.terms:
        of = "one number, itself" if averaged.terms == 1 else f"{averaged.terms} numbers, all alike"
        return f" in {_all(found.every)}: the mean of {of}, is taken off"
    return (
        f", the farthest from 0 of {found.every:,}" if found.exact else f" in {_all(found.every)}"
    )


def _all(count: int) -> str:
    return "its only entry" if count == 1 else f"all {count:,} entries"


def _terms(found: Origin) -> list[float]:
    values = iter(o.value for o in found.operands)
    return [math.prod(islice(values, n)) for n in found.factors]


def _expression(found: Origin) -> str:
    values = [figure(o.value) for o in found.operands]
    if found.factors:
        parts = iter(values)
        terms = [" · ".join(islice(parts, n)) for n in found.factors]
        said = " + ".join(f"({t})" if t.startswith("−") and i else t for i, t in enumerate(terms))
        more = (found.terms or len(terms)) - len(terms)
        said += f" + {more:,} more term{'s' if more > 1 else ''}" if more else ""
        return f"({said}) / {found.terms}" if found.operation == "mean" else said
    if found.operation in CUTS and values:
        return CUTS[found.operation].format(*values, *["Inf"] * 2)
    if found.operation in SIGNS and len(values) >= 2:
        a, b = values[:2]
        a = f"({a})" if found.operation == "pow" and a.startswith("−") else a
        b = f"({b})" if b.startswith("−") else b
        return f"{a}{SIGNS[found.operation]}{b}"
    return f"{found.operation}({', '.join(values)})"


def _place(operand: Operand) -> str:
    return "" if operand.entry is None else f"[{', '.join(map(str, operand.entry))}]"
