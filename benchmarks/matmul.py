"""The matmul variants side by side: ratios on this machine, beside the notes' own.

python benchmarks/matmul.py                     (5×784) @ (784×10), as in the notes
python benchmarks/matmul.py --m 512 --k 512 --n 512
python benchmarks/matmul.py --scaling           time against n, and the fitted exponents
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# In place of this folder, whose statistics.py would hide the standard library's.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from layerscope.engine.basis.text import time_text  # noqa: E402
from layerscope.engine.foundations.matmul import (  # noqa: E402
    NOTES_SHAPE,
    NOTES_TABLE,
    RaceResult,
    RaceStart,
    ScalingEnd,
    ScalingPoint,
    race,
    scaling,
)


def print_race(m: int, k: int, n: int, time_limit: float, threads: int) -> None:
    """One line for each variant as it finishes."""
    notes = {row.variant: row.to_dict() for row in NOTES_TABLE} if (m, k, n) == NOTES_SHAPE else {}
    row = "{:<26}{:>11}{:>11}{:>14}{:>12}{:>13}{:>12}{:>11}  {}"
    for event in race(m, k, n, time_limit=time_limit, threads=threads):
        if isinstance(event, RaceStart):
            print(f"({m}×{k}) @ ({k}×{n}); peak {event.peak['text']}")
            print(row.format("variant", "median", "spread", "speed-up", "GFLOP/s", "peak",
                             "memory", "error", "notes"))  # fmt: skip
        elif isinstance(event, RaceResult):
            told, ours = event.to_dict(), notes.get(event.variant)
            beside = f"{ours['seconds_text']}, {ours['speedup_text']}" if ours else ""
            print(
                row.format(
                    told["title"], told["seconds_text"], told["spread_seconds_text"],
                    told["speedup_text"], told["gflops_text"], told["share_of_peak_text"],
                    told["extra_bytes_text"], told["max_relative_error_text"],
                    beside + told["reason"],
                )
            )  # fmt: skip


def print_scaling(time_limit: float, threads: int) -> None:
    """Every point, then the exponent of every variant."""
    for event in scaling(time_limit=time_limit, threads=threads):
        if isinstance(event, ScalingPoint) and event.seconds is not None:
            mark = " (extrapolated)" if event.extrapolated else ""
            print(f"{event.variant:<16}{event.n:>6}  {time_text(event.seconds):>10}{mark}")
        elif isinstance(event, ScalingEnd):
            print()
            for name, fit in event.fits.items():
                if fit is None:
                    print(f"{name:<16}no size takes clearly longer than the call itself")
                    continue
                print(f"{name:<16}{fit.says}  from n = {fit.sizes[0]} to {fit.sizes[-1]}")


def main() -> None:
    """Read the options and print one of the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, size in zip("mkn", NOTES_SHAPE, strict=True):
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--time-limit", type=float, default=1.0, help="seconds for one variant")
    parser.add_argument("--threads", type=int, default=1, help="cores for each variant")
    parser.add_argument("--scaling", action="store_true", help="time against n instead of a race")
    options = parser.parse_args()
    if options.scaling:
        print_scaling(min(options.time_limit, 0.2), options.threads)
    else:
        print_race(options.m, options.k, options.n, options.time_limit, options.threads)


if __name__ == "__main__":
    main()
