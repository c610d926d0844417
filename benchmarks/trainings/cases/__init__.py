"""The trainings, by what is wrong with them; importing this registers them all."""

from benchmarks.trainings.cases import (
    between_layers,
    depth,
    gradients,
    inputs,
    kinds_of_training,
    leaks,
    looks_wrong,
    losses,
    numbers,
    rates,
    shapes,
    small_steps,
    terms,
    told_by_the_graph,
    unheard,
    units,
    unusual_by_design,
    wrong_arguments,
)

__all__ = [
    "between_layers", "depth", "gradients", "inputs", "kinds_of_training", "leaks",
    "looks_wrong", "losses",
    "numbers", "rates", "shapes", "small_steps", "terms", "told_by_the_graph", "unheard", "units",
    "unusual_by_design", "wrong_arguments",
]  # fmt: skip
