"""Which parameters a gradient reaches, and which of them anybody moves."""

from __future__ import annotations

from collections import Counter
from functools import reduce
from operator import and_

from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import History, Weight
from layerscope.engine.probe.step import Outline, Quantity

__all__ = [
    "LEAST_RECORDS", "at_rest", "behind", "cut_in_time", "emptied", "hidden", "in_their_place",
    "lost_before", "never_anything", "never_start", "next_to_rest", "outside", "unstepped",
    "without",
]  # fmt: skip

LEAST_RECORDS = 3
"""Recorded steps before anything is said to never happen."""
NEXT_TO_NONE = 1e-5
"""Of another group's learning rate: who trains the parts of a network at rates of their own has a
hundredth or a thousandth."""
UNMOVED = 1e-7
"""Of a weight a step: a million steps change it by a tenth."""
LEAST_CALLS = 3
"""Of a cell in a step: so many moments make a sequence."""
CELLS = frozenset({"RNNCell", "GRUCell", "LSTMCell"})
"""What they give is what they hand on. Of a whole recurrent layer the state is another tensor,
whose gradient is not seen."""


def _called(history: History) -> set[int]:
    return {m.index for s in history.steps for m in s.modules}


def without(history: History) -> list[Weight]:
    """Parameters that ask for a gradient, are the optimiser's, and never got one."""
    called = _called(history)
    return [
        w for w in history.weights()
        if w.facts.trains and w.facts.group is not None and w.module.index in called
        and not history.recorded(w, Quantity.PARAMETER_GRADIENT)
    ]  # fmt: skip


def lost_before(history: History, weights: list[Weight]) -> bool:
    """Whether one came back to each of their modules, and is not there when the optimiser steps:
    of such as cannot give anything without them."""
    return all(w.module.role and _came_back(history, w.module) for w in weights)


def unstepped(history: History, weights: list[Weight]) -> bool:
    """Whether the optimiser of each of them has never taken a step."""
    last = history.steps[-1].unstepped if history.steps else ()
    return bool(last) and all(w.facts.group in last for w in weights)


def _came_back(history: History, module: ModuleFacts) -> bool:
    gradients = [s.of(module.index, Quantity.GRADIENT) for s in history.recent]
    return any(g is not None and g.rms for g in gradients)


def emptied(history: History) -> list[Weight]:
    """Parameters whose gradient is zero at every entry whenever the optimiser steps, and was not so
    after the backward pass."""
    return [
        w for w in history.weights()
        if len(taken := history.seen(w, Quantity.PARAMETER_GRADIENT)) >= LEAST_RECORDS
        and not any(rms for _, rms in taken)
        and any(rms for _, rms in history.seen(w, Quantity.UNCLIPPED))
    ]  # fmt: skip


def never_start(history: History) -> list[Weight]:
    """Matrices that are zero at every entry and get gradients that are, in every recorded step, two
    of them or more: of those that are multiplied with one another neither moves while both are."""
    matrices = [
        w for w in history.weights()
        if w.facts.trains and w.facts.group is not None and len(w.facts.shape) > 1
    ]  # fmt: skip
    found = [w for w in matrices if _zero(history, w)]
    return found if len(found) > 1 else []


def _zero(history: History, weight: Weight) -> bool:
    values = history.seen(weight, Quantity.VALUE)
    gradients = history.seen(weight, Quantity.PARAMETER_GRADIENT)
    known = min(len(values), len(gradients)) >= LEAST_RECORDS
    return known and not any(rms for _, rms in (*values, *gradients))


def never_anything(history: History) -> list[Weight]:
    """Parameters of modules to all of whose parameters gradients come that are zero at every entry
    in every recorded step, beside others that get more: nothing that the loss is made of depends on
    what these modules give."""
    seen: dict[int, list[tuple[Weight, float]]] = {}
    for w in history.weights():
        if w.facts.trains and w.facts.group is not None:
            figures = history.seen(w, Quantity.PARAMETER_GRADIENT)
            largest = max((g for _, g in figures), default=0.0)
            if len(figures) >= LEAST_RECORDS:
                seen.setdefault(w.module.index, []).append((w, largest))
    empty = [
        [w for w, _ in several] for index, several in seen.items()
        if not any(largest for _, largest in several) and not _empty(history, index)
    ]  # fmt: skip
    return [w for several in empty for w in several] if len(empty) < len(seen) else []


def _empty(history: History, index: int) -> bool:
    """Whether a module gave nothing at all, or nothing but zeros, in every step."""
    outputs = [s.of(index, Quantity.ACTIVATION) for s in history.recent]
    return not any(a is not None and a.count > a.zeros for a in outputs)


def outside(history: History) -> list[Weight]:
    """Parameters that get a gradient, are in no optimiser, and that nobody else changes: whoever
    does so as a step begins may come before they are read, and then they are not told of."""
    told = any(_came_back(history, facts) for facts in history.facts)  # else it is not known
    return [
        w for w in history.weights()
        if w.facts.trains and w.facts.group is None and history.has_optimizer
        and len(values := history.seen(w, Quantity.VALUE)) >= LEAST_RECORDS
        and len({rms for _, rms in values}) < 2
        and (not told or _came_back(history, w.module))
    ]  # fmt: skip


def behind(history: History, weights: list[Weight]) -> bool:
    """Whether what is in no optimiser comes last: the output is made by what never learns."""
    called = _called(history)
    last = max((w.module.index for w in history.weights() if w.module.index in called), default=-1)
    return any(w.module.index == last for w in weights)


def in_their_place(history: History, weights: list[Weight]) -> int:
    """How many parameters wait in the optimisers that are none of the model's and never get a
    gradient, where there is one of each outside one's shape: those of modules that were replaced
    since. Else 0."""
    idle = reduce(and_, (Counter(s.idle_shapes) for s in history.steps))
    return 0 if Counter(w.facts.shape for w in weights) - idle else idle.total()


def hidden(history: History) -> tuple[str, ...]:
    """Parameters that nobody changes, with a gradient in all of the last records."""
    last = history.steps[-LEAST_RECORDS:]
    always = set.intersection(*(set(s.hidden) for s in last))
    return tuple(name for name in last[-1].hidden if name in always)


def at_rest(history: History) -> list[Weight]:
    """Parameters with a gradient whose group has had a learning rate of 0, unlike others."""
    return _of_still_groups(history, 0.0)


def next_to_rest(history: History) -> list[Weight]:
    """Those of a group whose learning rate has been next to nothing beside another's, and that have
    not moved to speak of."""
    return [
        w for w in _of_still_groups(history, NEXT_TO_NONE)
        if (ratio := history.median_ratio(w)) is not None and ratio < UNMOVED
    ]  # fmt: skip


def _of_still_groups(history: History, share: float) -> list[Weight]:
    """Parameters with a gradient whose group's learning rate was never above a share of the
    highest."""
    rates = [s.learning_rates for s in history.steps if s.learning_rates]
    groups = range(min(map(len, rates), default=0))
    still = {i for i in groups if all(r[i] <= share * max(r) for r in rates)}
    if not rates or len(still) == len(rates[0]) or not any(map(any, rates)):
        return []  # where nothing moves the rate itself is too low
    return [
        w for w in history.weights()
        if w.facts.trains and w.facts.group in still
        and any(rms for _, rms in history.seen(w, Quantity.PARAMETER_GRADIENT))
    ]  # fmt: skip


def cut_in_time(history: History) -> tuple[ModuleFacts, int] | None:
    """A recurrent cell, and how often it is called in a step, where in all of the last records a
    gradient came back to one of these calls alone."""
    for facts in history.facts:
        if facts.kind not in CELLS:
            continue
        calls = [_calls_with_one_gradient(step, facts) for step in history.recent]
        if len(calls) >= LEAST_RECORDS and all(calls):
            return facts, calls[-1]
    return None


def _calls_with_one_gradient(step: Outline, facts: ModuleFacts) -> int:
    """0 where it is otherwise. What went through several calls is summed up, and counted: of so
    many entries one call's got a gradient."""
    said = step.said.get(facts.index)
    output = step.of(facts.index, Quantity.ACTIVATION)
    gradient = step.of(facts.index, Quantity.GRADIENT)
    if said is None or output is None or gradient is None or said.calls < LEAST_CALLS:
        return 0
    return said.calls if gradient.count * said.calls == output.count else 0
