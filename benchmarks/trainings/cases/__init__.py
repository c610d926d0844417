"""The trainings, by what is wrong with them; importing this registers them all."""

from benchmarks.trainings.cases import (
    depth,
    gradients,
    inputs,
    looks_wrong,
    looks_wrong_too,
    losses,
    met_in_practice,
    numbers,
    rates,
    units,
)

__all__ = [
    "depth", "gradients", "inputs", "looks_wrong", "looks_wrong_too", "losses",
    "met_in_practice", "numbers", "rates", "units",
]  # fmt: skip
