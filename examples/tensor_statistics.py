"""Everything about one tensor, in one pass over its memory.

    python examples/tensor_statistics.py

The histogram counts by power of two and sign, so nothing is outside its range; how much a narrower
format would lose can be read off it.
"""

import torch

import layerscope

FLOAT16_SUBNORMAL = -14  # the exponent of the smallest normal number
FLOAT16_LARGEST = 15  # the exponent of the largest


def main() -> None:
    """Print figures of a gradient-like tensor with a NaN and an Inf among its entries."""
    entries = torch.randn(100_000, generator=torch.Generator().manual_seed(0)) * 1e-5
    entries[7], entries[8], entries[9] = float("nan"), float("inf"), 0.0
    s = layerscope.statistics(entries)
    print(f"{s.count} entries: {s.nan} NaN, {s.posinf} +Inf, {s.zeros} zero; the others:")
    print(f"mean {s.mean:.3g}, std {s.std:.3g}, from {s.min:.3g} to {s.max:.3g}")

    histogram = s.to_dict()["histogram"]
    counts = {
        exponent: positive + negative
        for exponent, positive, negative in zip(
            histogram["exponents"], histogram["positive"], histogram["negative"], strict=True
        )
    }
    below = sum(n for exponent, n in counts.items() if exponent < FLOAT16_SUBNORMAL)
    above = sum(n for exponent, n in counts.items() if exponent > FLOAT16_LARGEST)
    print(f"float16: {below / s.count:.1%} below its normal range, {above / s.count:.1%} above")


if __name__ == "__main__":
    main()
