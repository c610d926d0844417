"""What a race reports, in order: start, then for each variant progress and a result, then end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from layerscope.engine.basis.text import bytes_text, number_text, time_text
from layerscope.engine.foundations.record import Record

__all__ = ["MatmulEvent", "RaceEnd", "RaceProgress", "RaceResult", "RaceStart", "Ranking", "Status"]

Status = Literal["measured", "extrapolated", "skipped"]


class MatmulEvent(Record):
    """A record of this package: its numbers come with a text that has their unit."""

    event: ClassVar[str] = ""

    def text_of(self, name: str, value: Any) -> str | None:
        if value is None:
            return ""
        if name.endswith("bytes"):
            return bytes_text(value)
        if not isinstance(value, float):
            return None
        if name.endswith(("seconds", "limit")):
            return time_text(value)
        if name.endswith("share_of_peak") and value > 1:  # a small product stays in the cache
            return f"{number_text(value)} × the large @"
        if name.endswith(("fraction", "share_of_peak")):
            return f"{number_text(100 * value)} %"
        if name.startswith(("speedup", "slower")):
            return f"{number_text(value)} ×"
        return number_text(value)


@dataclass(frozen=True)
class RaceStart(MatmulEvent):
    """What is about to be raced, and the yardsticks."""

    event: ClassVar[str] = "race_start"

    m: int
    k: int
    n: int
    seed: int
    time_limit: float
    """Seconds for one variant."""
    multiply_adds: int
    flops: int
    """Two for each multiply-add."""
    threads: int
    """Cores that each variant may use."""
    noise_seconds: float
    """What the timer reports for doing nothing."""
    peak: dict[str, Any]
    """The measured peak, as `layerscope.engine.foundations.matmul.peak.Peak` tells it."""
    variants: list[dict[str, Any]]
    """In the order in which they run: name, title, formula, source, help, growth, memory, code."""
    notes: dict[str, Any]
    """The notes' own table: their m, k, n, whether these are the same, and the rows."""


@dataclass(frozen=True)
class RaceProgress(MatmulEvent):
    """One variant is under way."""

    event: ClassVar[str] = "race_progress"

    variant: str
    index: int
    """Of the variant in the start event's list, from 0."""
    of: int
    fraction: float
    """Of this variant's own repeats or time, whichever is further."""


@dataclass(frozen=True)
class RaceResult(MatmulEvent):
    """One variant is through; everything that was not measured is None."""

    event: ClassVar[str] = "race_result"

    variant: str
    title: str
    index: int
    of: int
    status: Status
    extrapolated: bool
    """The time is a part's own time divided by ``fraction``; the rest was not computed."""
    reason: str
    """Why the variant was skipped or extrapolated, in words."""
    extra_bytes: int
    """Beside operands and result, derived from the variant's source."""
    seconds: float | None = None
    """Median of the samples."""
    low_seconds: float | None = None
    high_seconds: float | None = None
    """The quartiles of the samples."""
    best_seconds: float | None = None
    spread_seconds: float | None = None
    """Between the quartiles."""
    samples: int = 0
    calls: int = 0
    fraction: float | None = None
    """Share of the multiply-adds that was really computed."""
    warmup_seconds: float | None = None
    speedup: float | None = None
    """Over the three Python loops, when these took part."""
    speedup_extrapolated: bool = False
    """The loops' own time, or this one, is extrapolated."""
    gflops: float | None = None
    share_of_peak: float | None = None
    """Of the rate of the best large ``@``; small matrices that stay in the cache can pass 1."""
    max_abs_error: float | None = None
    """Largest \\|c − c₆₄\\| over the cells computed, c₆₄ the product in float64."""
    max_relative_error: float | None = None
    """The same, divided by the largest \\|c₆₄\\| of these cells."""
    cells_checked: int = 0


@dataclass(frozen=True)
class Ranking(MatmulEvent):
    """One place of the final order."""

    place: int
    variant: str
    title: str
    seconds: float
    slower_than_best: float
    extrapolated: bool


@dataclass(frozen=True)
class RaceEnd(MatmulEvent):
    """The order at the finish, quickest first, and who did not start."""

    event: ClassVar[str] = "race_end"

    ranking: list[Ranking]
    skipped: list[str]
    total_seconds: float
