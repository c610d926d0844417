"""Tensors on an accelerator: read there as they are seen, fetched in one copy a step.

Nothing here waits for the device in the thread that trains; the one copy is made by the writing
thread, behind an event that tells when the step's records are there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from layerscope.engine.execution.saturation import SAMPLES, FlatRegion
from layerscope.engine.probe.collecting import Reading
from layerscope.engine.probe.step import Look
from layerscope.engine.probe.watched import Key, Tracked
from layerscope.engine.statistics import Units
from layerscope.engine.statistics.device import WORDS, answers, readable_there, records

__all__ = ["Afar", "Fetched", "fetch", "share_there"]

LOOKED = 5
"""Numbers of a look."""


def fetch(buffer: Tensor, ready: Any) -> NDArray[np.int64]:
    """Brings a step's records over: the only place where memory of a device is copied."""
    if ready is not None:
        ready.synchronize()
    return buffer.cpu().numpy()


class Fetched:
    """A step's records, on their way; behind them those of the looks, then the loss."""

    def __init__(
        self, keys: list[Key], rows: list[int], dtypes: list[torch.dtype], buffer: Tensor,
        looks: list[tuple[Look, int, int]], with_loss: bool,
    ) -> None:  # fmt: skip
        self._looks = looks
        self._keys = keys
        self._rows = rows
        self._dtypes = dtypes
        self._buffer = buffer
        self._with_loss = with_loss
        self._ready = None
        if not buffer.is_cpu:
            self._ready = torch.Event(buffer.device)
            self._ready.record()

    def read(self) -> tuple[Reading, float | None]:
        """What the device said, and the loss if it is there; in the writing thread."""
        found = fetch(self._buffer, self._ready)
        loss = None
        if self._with_loss:
            loss = float(found[-1, :1].view(np.float64)[0])
            found = found[:-1]
        for (look, batch, width), row in zip(
            self._looks, found[len(found) - len(self._looks) :], strict=True
        ):
            told = row[:LOOKED].view(np.float64).tolist()
            dead, constant, correlation, over_window, share = (
                None if math.isnan(value) else value for value in told
            )
            look.units = Units(batch, width, int(dead or 0), int(constant or 0), correlation)
            look.dead, look.saturation = int(over_window or 0), share
        found = found[: len(found) - len(self._looks)]
        return Reading(self._keys, answers(found, self._rows, self._dtypes)), loss


class Afar:
    """What of a step lies on an accelerator: records that grow there."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._keys: list[Key] = []
        self._rows: list[int] = []
        self._dtypes: list[torch.dtype] = []
        self._records: list[Tensor] = []
        self._looks: list[tuple[Look, int, int]] = []
        self._looked: list[Tensor] = []
        self._loss: Tensor | None = None

    @staticmethod
    def holds(tensor: Tensor) -> bool:
        """Whether a tensor can be read where it lies, and lies elsewhere than here."""
        return readable_there(tensor)

    def take(self, keys: Sequence[Key], tensors: Sequence[Tensor]) -> None:
        """Reads tensors as they are now; returns before the device has done it."""
        if not keys:
            return
        with torch.no_grad():
            found, rows = records(tensors)
        self._keys += keys
        self._rows += rows
        self._dtypes += [tensor.dtype for tensor in tensors]
        self._records.append(found)

    def put_aside(self, several: Sequence[Tracked]) -> None:
        """Reads parameters, and keeps what they are."""
        if several:
            parameters = [t.parameter.detach() for t in several]
            self.take([t.value for t in several], parameters)
            rooms = [t.room().view(t.parameter.shape) for t in several if t.group is not None]
            kept = [t.parameter.detach() for t in several if t.group is not None]
            torch._foreach_copy_(rooms, kept)

    def updates(self, several: Sequence[Tracked]) -> None:
        """Reads what has become of them since."""
        changes = [
            t.parameter.detach() - t.snapshot.view(t.parameter.shape)
            for t in several if t.snapshot is not None
        ]  # fmt: skip
        self.take([t.update for t in several if t.snapshot is not None], changes)

    def look(
        self, look: Look, batch: int, width: int, units: Tensor, dead: Tensor, share: Tensor | None
    ) -> None:
        """What a look has found there, to be filled in once it is here: ``units`` are the dead and
        constant ones and the samples' correlation, ``dead`` those of the whole window."""
        nothing = torch.full_like(dead, math.nan, dtype=torch.float64)
        last = nothing if share is None else share.double()
        self._looks.append((look, batch, width))
        self._looked.append(torch.cat([units, torch.stack([dead.double(), last])]))

    def loss(self, value: Tensor) -> None:
        """The step's loss comes along."""
        self._loss = value.detach()

    def ended(self) -> Fetched | None:
        """All of the step; None where nothing of it lay elsewhere."""
        if not self._records:
            return None
        parts = list(self._records)
        if self._looked:
            told = torch.zeros(
                (len(self._looked), WORDS), dtype=torch.int64, device=parts[0].device
            )
            told[:, :LOOKED] = torch.stack(self._looked).view(torch.int64)
            parts.append(told)
        if self._loss is not None:
            row = torch.zeros((1, WORDS), dtype=torch.int64, device=parts[0].device)
            row[0, :1] = self._loss.to(parts[0].device).double().reshape(1).view(torch.int64)
            parts = [*parts, row]
        fetched = Fetched(
            self._keys,
            self._rows,
            self._dtypes,
            torch.cat(parts),
            self._looks,
            with_loss=self._loss is not None,
        )
        self._clear()
        return fetched

    def drop(self) -> None:
        """Lets go of everything."""
        self._clear()


def share_there(region: FlatRegion, z: Tensor) -> Tensor:
    """``FlatRegion.share`` on the device of ``z``; NaN for None."""
    few = z.detach()[:SAMPLES]
    flat = torch.zeros_like(few, dtype=torch.bool)
    for low, high in region.intervals:
        inside = few <= (math.inf if high is None else high)
        flat |= inside if low is None else inside & (few >= low)
    return flat.sum().double() / (~few.isnan()).sum()
