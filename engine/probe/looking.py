"""The closer look that some recorded steps get: units, saturation, copies."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from layerscope.engine.execution.records import all_alike
from layerscope.engine.execution.saturation import FlatRegion
from layerscope.engine.probe.accelerator import Afar, share_there
from layerscope.engine.probe.outputs import main_tensor
from layerscope.engine.probe.step import Look
from layerscope.engine.probe.watched import Leaf
from layerscope.engine.statistics import Units
from layerscope.engine.statistics.activity import Mask, units_of_many
from layerscope.engine.statistics.device import is_here, units_there

__all__ = ["TOGETHER", "Looker", "running_of"]

FIRST = 4
"""Recorded steps at the beginning that all get a look."""
EVERY, MOST = 8, 64
"""Of the others the next after so many, at first and at most: each costs a third of a step."""
SLOWER = 8
"""Of the steps recorded so far, the share after which the next is due in between."""
WINDOW = 4
"""Looks over which a unit must have been silent to be called dead."""


ROUNDED = 1e-3
"""Of the largest output: by no more do copies differ that are computed by sums of another order."""
TOGETHER = 24
"""Calls that are looked at together by the writing thread."""


class _Call(NamedTuple):
    """A call that is looked at later, as it was."""

    leaf: Leaf
    output: Tensor
    x: Tensor | None
    version: int
    version_of_x: int

    @property
    def changed(self) -> bool:
        """Whether somebody has written into it since."""
        return (
            self.output._version != self.version or _version(self.x) != self.version_of_x
        )  # fmt: skip


class _Asked(NamedTuple):
    """What is asked about a call, and where it is to be told."""

    call: _Call
    found: Look
    axis: int | None
    flat: FlatRegion | None


def _version(x: Tensor | None) -> int:
    return 0 if x is None or x.is_inference() else x._version


def _copies(output: Tensor, axis: int) -> bool | None:
    """Whether all units, of two or more, have given the same for every sample, not nothing at all;
    None with a single one."""
    rows = output.movedim(axis, -1)
    if rows.shape[-1] < 2:
        return None
    largest = float(rows.abs().max())
    return largest > 0.0 and float((rows.amax(-1) - rows.amin(-1)).max()) <= ROUNDED * largest


def _by_output(leaf: Leaf) -> bool:
    """Whether copies among the units are told by what they give: where parameters stand for units
    in some other way than a linear map's, as in embeddings and recurrent layers."""
    facts = leaf.facts
    return (
        facts is not None
        and facts.role is None
        and any(p.trains for p in facts.parameters.values())
    )


class Looker:
    """Looks, and remembers for every unit whether it was active in one of the last looks."""

    def __init__(self, afar: Afar, later: Callable[[Callable[[], None]], None]) -> None:
        """``later`` has something done by the writing thread, before the step is written."""
        self._afar = afar
        self._later = later
        self._waiting: list[_Call] = []
        self._recorded = -1
        self._last = 0
        """Which of them was looked at last, those at the beginning left out."""
        self._found: dict[Leaf, Look] = {}
        self._silent: dict[Leaf, deque[Mask | None]] = {}
        """Which units were, look by look; None where none was."""
        self._silent_there: dict[Leaf, deque[Tensor]] = {}
        """The same on an accelerator."""

    def wanted(self) -> bool:
        """Asked once a recorded step: whether this one gets a look. They thin out as a training
        goes on: what begins in a step is seen before it has gone on for an eighth longer."""
        self._recorded += 1
        if self._recorded < FIRST:
            return True
        if self._recorded < self._last + min(max(EVERY, self._recorded // SLOWER), MOST):
            return False
        self._last = self._recorded
        return True

    def look(self, leaf: Leaf, inputs: tuple[Any, ...], output: Tensor) -> None:
        """At one call of a module; of several in a step the last one counts."""
        facts = leaf.facts
        if facts is None:
            return
        if self._afar.holds(output):
            self._look_there(leaf, inputs, output.detach())
            return
        x = None
        if facts.flat is not None:
            first = inputs[0] if inputs else None
            plain = type(first) is Tensor and first.dtype is torch.float32
            x = first if plain else main_tensor(inputs)
        call = _Call(leaf, output, x, output._version, _version(x))
        if leaf.settled and not leaf.activation.at_once:
            self._waiting.append(call)
            if len(self._waiting) >= TOGETHER:
                self.flush()
        else:
            self._fill(self._asked([call]))

    def flush(self) -> None:
        """Has the writing thread look at what waits for it. To be called before parameters change:
        those of linear maps are asked here."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            asked = self._asked(waiting)
            if asked:
                self._later(partial(self._fill, asked))

    def _asked(self, calls: Sequence[_Call]) -> list[_Asked]:
        """Those of which there is anything left to be asked."""
        asked = []
        for call in calls:
            leaf, output, facts = call.leaf, call.output, call.leaf.facts
            if facts is None or not output.is_floating_point() or not output.numel():
                continue
            found = self._found[leaf] = Look(window=1)
            if facts.role == "linear_map":
                found.units_alike = self._alike(leaf)
            axis = facts.unit_axis
            if axis is not None and not -output.dim() < axis < output.dim() > 1:
                axis = None
            flat = facts.flat
            if call.x is None or getattr(leaf.module, "inplace", False):
                flat = None
            if axis is not None or flat is not None:
                asked.append(_Asked(call, found, axis, flat))
        return asked

    def _fill(self, several: list[_Asked]) -> None:
        """Of what has been changed in place meanwhile nothing is said, and from then on it is
        looked at at once."""
        told = units_of_many([(each.call.output, each.axis) for each in several])
        for each, (now, silent) in zip(several, told, strict=True):
            call, found, leaf = each.call, each.found, each.call.leaf
            flat, x = each.flat, call.x
            share = None if flat is None or x is None else flat.share(x)
            if call.changed:
                leaf.activation.at_once = True
                continue
            found.saturation = share
            if now is not None and each.axis is not None:
                if _by_output(leaf):
                    found.units_alike = _copies(call.output.detach(), each.axis)
                found.units = now
                found.window, found.dead = self._dead(leaf, now, silent)

    def _look_there(self, leaf: Leaf, inputs: tuple[Any, ...], output: Tensor) -> None:
        """On an accelerator: its answers come with the step's figures. Whether units are copies is
        not asked there."""
        facts = leaf.facts
        if not output.is_floating_point() or not output.numel():
            return
        found = self._found[leaf] = Look(window=1)
        axis = facts.unit_axis if facts is not None else None
        if facts is None or axis is None or not -output.dim() < axis < output.dim() > 1:
            return
        units, silent = units_there(output, axis)
        window = self._silent_there.setdefault(leaf, deque(maxlen=WINDOW))
        if any(before.shape != silent.shape for before in window):
            window.clear()
        window.append(silent)
        dead = torch.stack(list(window)).all(0).sum()
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
        if found is not None and found.units_alike and not _by_output(leaf):
            found.gradients_alike = self._alike(leaf, gradients=True)
        return found

    def drop(self) -> None:
        """Lets go of the training's tensors."""
        self._found.clear()
        self._silent_there.clear()
        self._waiting = []

    def forget(self) -> None:
        """Lets go of everything, once the writing thread has ended."""
        self.drop()
        self._silent.clear()

    def _dead(self, leaf: Leaf, now: Units, silent: Mask | None) -> tuple[int, int]:
        """Over how many looks, and how many units were silent in all of them."""
        window = self._silent.setdefault(leaf, deque(maxlen=WINDOW))
        if any(before is not None and before.shape != (now.width,) for before in window):
            window.clear()
        window.append(silent)
        masks = [mask for mask in window if mask is not None]
        if len(masks) < len(window):
            return len(window), 0
        return len(window), int(np.count_nonzero(np.logical_and.reduce(masks)))

    def _alike(self, leaf: Leaf, gradients: bool = False) -> bool | None:
        matrix = leaf.matrix
        if matrix is None or not matrix.requires_grad:
            return None  # of what does not train, copies are by design
        tensor = matrix.grad if gradients else matrix.detach()
        if tensor is None or tensor.is_sparse or not tensor.is_floating_point():
            return None
        return all_alike(tensor, leaf.kind.weight_unit_axis)


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
