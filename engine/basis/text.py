"""How times, rates and amounts of memory read, with three significant digits and their unit; how
number formats are called, and many names shortened."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["bytes_text", "dtype_name", "listed", "number_text", "time_text"]

TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def number_text(number: float, digits: int = 3) -> str:
    """So many significant digits, thousands separated: never an exponent below a million.

    >>> number_text(6.4249), number_text(50623.4), number_text(0), number_text(2.5e9)
    ('6.42', '50,600', '0', '2.5e+09')
    """
    if number == 0 or not 1e-4 <= abs(number) < 1e6:
        return f"{number:.{digits}g}"
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
