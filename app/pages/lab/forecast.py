"""Theory's forecast for each number format, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from layerscope.engine.theory import Forecast, Prediction, without_band
from layerscope.engine.theory.forecast import formats_up_to

__all__ = ["Direction", "forecast_words", "told"]

Direction = Literal["forward", "backward"]
OF: Mapping[Direction, Literal["activation", "gradient"]] = {
    "forward": "activation", "backward": "gradient",
}  # fmt: skip


def told(prediction: Prediction, dtype: str, direction: Direction) -> tuple[str, str]:
    """Of the formats of 16 bits and more, and of all that are no wider than ``dtype``."""
    missing = prediction.reason or (direction == "backward" and prediction.gradient_reason)
    if missing:
        return missing, missing
    formats = formats_up_to(dtype)
    main = [name for name in formats if not name.startswith("float8")]
    short, long = (
        f"theory: {forecast_words(prediction.forecast, names, direction)}"
        for names in (main, formats)
    )
    without = without_band(prediction.layers, OF[direction])
    return "; ".join([short, *without]), "; ".join([long, *without])


def forecast_words(
    forecast: Sequence[Forecast], formats: Sequence[str], direction: Direction
) -> str:
    """What happens inside the network first, then what holds, and to which depth if that is known.

    >>> forecast_words([], ["float32", "float16"], "forward")
    'float32, float16 hold'
    >>> early = Forecast("float16", "forward", "overflow", 5, 8, extrapolated=False)
    >>> forecast_words([early], ["float32", "float16"], "forward")
    'float16 overflows at layer 5; float32 holds'
    """
    said: dict[str, list[str]] = {}
    for name in formats:
        events = [e for e in forecast if e.dtype == name and e.direction == direction]
        said.setdefault(_of_format(events, direction), []).append(name)
    order = sorted(said.items(), key=lambda item: item[0].startswith("hold"))
    return "; ".join(f"{', '.join(names)} {_conjugated(w, len(names))}" for w, names in order)


def _of_format(events: Sequence[Forecast], direction: Direction) -> str:
    inside: dict[str, int] = {e.event: e.block for e in reversed(events) if not e.extrapolated}
    overflow, subnormal, zero = (inside.get(e) for e in ("overflow", "subnormal", "zero"))
    if overflow:
        return f"overflow at layer {overflow}"
    if zero and subnormal in (None, zero):
        return f"vanish at layer {zero}"
    if zero:
        return f"turn subnormal at layer {subnormal}, vanish at {zero}"
    if subnormal:
        return f"turn subnormal from layer {subnormal}{' back' * (direction == 'backward')}"
    later = min((e for e in events if e.event != "subnormal"), key=lambda e: e.block, default=None)
    if later and direction == "forward":
        verb = "vanish" if later.event == "zero" else "overflow"
        return f"hold, to {verb} at depth {later.block}"
    return "hold"


def _conjugated(words: str, subjects: int) -> str:
    """``overflows`` of one format, ``overflow`` of several."""
    if subjects > 1:
        return words
    singular = re.sub(r"^\w+", lambda verb: verb[0] + ("es" if verb[0] == "vanish" else "s"), words)
    return singular.replace(", vanish ", ", vanishes ")
