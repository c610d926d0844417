"""The closer look that some recorded steps get: units, saturation, copies."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor, nn

from layerscope.engine.execution.records import all_alike
from layerscope.engine.probe.accelerator import Afar, share_there
from layerscope.engine.probe.facts import own_parameters
from layerscope.engine.probe.outputs import main_tensor
from layerscope.engine.probe.step import Look
from layerscope.engine.probe.watched import Leaf
from layerscope.engine.statistics import Units, units
from layerscope.engine.statistics.device import is_here, units_there

__all__ = ["Looker", "running_of"]

FIRST = 4
"""Recorded steps at the beginning that all get a look."""
EVERY = 8
"""Of the others every so many."""
WINDOW = 4
"""Looks over which a unit must have been silent to be called dead."""


class Looker:
    """Looks, and remembers for every unit whether it was active in one of the last looks."""

    def __init__(self, afar: Afar) -> None:
        self._afar = afar
        self._recorded = -1
        self._found: dict[Leaf, Look] = {}
        self._silent: dict[Leaf, deque[Tensor | None]] = {}
        """Which units were, look by look; None where none was."""

    def wanted(self) -> bool:
        """Asked once a recorded step: whether this one gets a look."""
        self._recorded += 1
        return self._recorded < FIRST or self._recorded % EVERY == 0

    def look(self, leaf: Leaf, inputs: tuple[Any, ...], output: Tensor) -> None:
        """At one call of a module; of several in a step the last one counts."""
        facts, output = leaf.facts, output.detach()
        if facts is None or not output.is_floating_point() or not output.numel():
            return
        found = self._found[leaf] = Look(window=1)
        axis = facts.unit_axis
        if self._afar.holds(output):
            self._look_there(leaf, found, inputs, output)
            return
        if axis is not None and output.dim() >= 2 and -output.dim() < axis < output.dim():
            found.units = units(output, axis)
            found.window, found.dead = self._dead(leaf, output, axis, found.units)
        if facts.flat is not None:
            found.saturation = self._saturation(leaf, inputs)
        if facts.role == "linear_map":
            found.units_alike = self._alike(leaf)

    def _look_there(self, leaf: Leaf, found: Look, inputs: tuple[Any, ...], output: Tensor) -> None:
        """On an accelerator: its answers come with the step's figures. Whether units are copies is
        not asked there."""
        facts = leaf.facts
        axis = facts.unit_axis if facts is not None else None
        if facts is None or axis is None or not -output.dim() < axis < output.dim() > 1:
            return
        units, silent = units_there(output, axis)
        window = self._silent.setdefault(leaf, deque(maxlen=WINDOW))
        if any(before is not None and before.shape != silent.shape for before in window):
            window.clear()
        window.append(silent)
        dead = torch.stack([w for w in window if w is not None]).all(0).sum()
        x = main_tensor(inputs)
        flat = facts.flat
        asked = flat is not None and x is not None and not getattr(leaf.module, "inplace", False)
        share = share_there(flat, x) if asked and flat is not None and x is not None else None
        found.window = len(window)
        self._afar.look(found, output.shape[0], output.shape[axis], units, dead, share)

    def take(self, leaf: Leaf) -> Look | None:
        """What was found in this step, if it was looked at; with its gradients, which are there
        by now."""
        found = self._found.pop(leaf, None)
        if found is not None and found.units_alike:
            found.gradients_alike = self._alike(leaf, gradients=True)
        return found

    def forget(self) -> None:
        """Lets go of everything."""
        self._found.clear()
        self._silent.clear()

    def _dead(self, leaf: Leaf, output: Tensor, axis: int, now: Units) -> tuple[int, int]:
        """Over how many looks, and how many units were silent in all of them."""
        window = self._silent.setdefault(leaf, deque(maxlen=WINDOW))
        silent = None
        if now.dead:
            silent = (output == 0).movedim(axis, -1).flatten(0, -2).all(0)  # (units,)
        if any(before is not None and before.shape != (now.width,) for before in window):
            window.clear()
        window.append(silent)
        if any(look is None for look in window):
            return len(window), 0
        return len(window), int(torch.stack([w for w in window if w is not None]).all(0).sum())

    def _saturation(self, leaf: Leaf, inputs: tuple[Any, ...]) -> float | None:
        x = main_tensor(inputs)
        if x is None or getattr(leaf.module, "inplace", False) or leaf.facts is None:
            return None
        return leaf.facts.flat.share(x) if leaf.facts.flat else None

    def _alike(self, leaf: Leaf, gradients: bool = False) -> bool | None:
        for _, parameter in own_parameters(leaf.module):
            if parameter.dim() > 1:
                tensor = parameter.grad if gradients else parameter.detach()
                if tensor is None or tensor.is_sparse or not tensor.is_floating_point():
                    return None
                return all_alike(tensor, leaf.kind.weight_unit_axis)
        return None


def running_of(norm: nn.Module) -> tuple[float, float] | None:
    """A norm's running statistics: the rms of its means and the mean of its variances; None where
    it keeps none, or keeps them on an accelerator, which would be waited for.

    >>> running_of(nn.BatchNorm1d(3))
    (0.0, 1.0)
    """
    mean, variance = getattr(norm, "running_mean", None), getattr(norm, "running_var", None)
    if mean is None or variance is None or not is_here(mean):
        return None
    return float(mean.detach().square().mean().sqrt()), float(variance.detach().mean())
