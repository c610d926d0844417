"""Numbers as a person reads them; ``static/js/format.js`` writes the same, but rounds ties up."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from layerscope.engine.basis.text import raised
from layerscope.engine.foundations.record import value_text

__all__ = ["age", "loss_text", "moment", "number", "raised", "shown", "whole"]


def number(value: float | None) -> str:
    """Three significant digits; an en dash for a missing figure.

    >>> number(0.8312), number(12.5), number(-3.2e12), number(0), number(None)
    ('0.831', '12.5', '−3.20×10¹²', '0', '–')
    """
    if value is None:
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if 0.001 <= size < 100_000:
        digits = min(5, max(0, 2 - math.floor(math.log10(size))))
        return f"{value:.{digits}f}".replace("-", "−")
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa.replace('-', '−')}×10{raised(int(exponent))}"


def whole(value: int) -> str:
    """A whole number with thin spaces at the thousands.

    >>> whole(20000)
    '20\u2009000'
    """
    return f"{value:,}".replace(",", "\u2009")


def shown(value: float | None) -> str:
    """As `number`, and ``nan``, ``inf`` as themselves.

    >>> shown(0.0333333), shown(float("-inf"))
    ('0.0333', '-inf')
    """
    return number(value) if value is None or math.isfinite(value) else value_text(value)


def loss_text(loss: float | None) -> str:
    """A loss as lists tell it.

    >>> loss_text(0.5), loss_text(float("inf")), loss_text(None)
    ('0.500', 'not finite', '–')
    """
    return number(loss) if loss is None or math.isfinite(loss) else "not finite"


def age(seconds: float) -> str:
    """How long ago, in the largest unit that fits.

    >>> age(3), age(150), age(7300), age(200000), age(float("inf"))
    ('just now', '2 min ago', '2 h ago', '2 d ago', '–')
    """
    if not math.isfinite(seconds):
        return "–"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def moment(seconds: float) -> str:
    """A time since 1970, for who reads it whenever and wherever.

    >>> moment(1.8e9), moment(1e300)
    ('2027-01-15 08:00:00 UTC', '–')
    """
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):  # any number may have been posted
        return "–"
