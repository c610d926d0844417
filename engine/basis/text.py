"""How times, rates and amounts of memory read, with three significant digits and their unit; how
number formats are called, and many names shortened."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

__all__ = [
    "bytes_text", "dtype_name", "listed", "number_text", "raised", "scientific", "time_text",
    "without_exponents",
]  # fmt: skip

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
WITH_EXPONENT = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?e[+-]\d{2,3})(?!\w|\.\d)(\^?)")
TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def raised(exponent: int) -> str:
    """A whole number in superscript.

    >>> raised(-12)
    '⁻¹²'
    """
    return str(exponent).translate(SUPERSCRIPT)


def scientific(text: str) -> str:
    """What ``format`` wrote with an exponent, with a power of ten; anything else as it is.

    >>> scientific("2.5e+09"), scientific("-1e-07"), scientific("1e+03"), scientific("12")
    ('2.5×10⁹', '-10⁻⁷', '10³', '12')
    """
    mantissa, mark, exponent = text.lower().partition("e")
    if not mark:
        return text
    digits = mantissa.removeprefix("-")
    sign = mantissa.removesuffix(digits)
    power = f"10{raised(int(exponent))}"
    return f"{sign}{power}" if digits == "1" else f"{sign}{digits}×{power}"


def without_exponents(sentence: str) -> str:
    """A sentence whose numbers ``format`` wrote, each large or small one with a power of ten.

    >>> without_exponents("rms 1.45e+26, 1e+30^2, e^(1e+03)")
    'rms 1.45×10²⁶, (10³⁰)^2, e^(10³)'
    """

    def written(found: re.Match[str]) -> str:
        text = scientific(found[1])
        return f"({text})" if found[2] else text

    return WITH_EXPONENT.sub(lambda found: written(found) + found[2], sentence)


def number_text(number: float, digits: int = 3) -> str:
    """So many significant digits, thousands separated: a power of ten from a million on.

    >>> number_text(6.4249), number_text(50623.4), number_text(0), number_text(2.5e9)
    ('6.42', '50,600', '0', '2.5×10⁹')
    """
    if number == 0 or not 1e-4 <= abs(number) < 1e6:
        return scientific(f"{number:.{digits}g}")
    places = digits - 1 - math.floor(math.log10(abs(number)))
    text = f"{round(number, places):,.{max(places, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def time_text(seconds: float) -> str:
    """A time in seconds as a person reads it.

    >>> time_text(6.42e-6), time_text(0.325), time_text(0.0), time_text(1234.5)
    ('6.42 µs', '325 ms', '0 s', '1,230 s')
    """
    for scale, unit in TIMES:
        if seconds >= scale:
            return f"{number_text(seconds / scale)} {unit}"
    return "0 s" if seconds == 0 else f"{number_text(seconds / 1e-9)} ns"


def bytes_text(count: int) -> str:
    """An amount of memory in powers of 1024.

    >>> bytes_text(12), bytes_text(31_360), bytes_text(512 * 2**20)
    ('12 B', '30.6 KiB', '512 MiB')
    """
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{number_text(amount)} {unit}"


def dtype_name(dtype: object) -> str:
    """What we call one of torch's dtypes.

    >>> import torch
    >>> dtype_name(torch.bfloat16)
    'bfloat16'
    """
    return str(dtype).removeprefix("torch.")


def listed(names: Sequence[str], most: int) -> str:
    """The first names, and how many more there are.

    >>> listed(["a", "b"], 3), listed(["a", "b", "c"], 2), listed([], 2)
    ('a, b', 'a, b and 1 more', '')
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
