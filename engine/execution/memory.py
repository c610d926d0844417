"""What a network's passes hold at every moment, from what each layer is known to take."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

import torch

from layerscope.engine.execution.draws import MOST_BYTES
from layerscope.engine.execution.footprint import TINY, Shape, Size, Watch, footprint, largest
from layerscope.engine.execution.network import LayerInfo, layout
from layerscope.engine.execution.read_ahead import LATE_BYTES
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers.initialization import INITS

__all__ = [
    "BASE", "RECORD_BYTES", "SCATTERED", "WALKED", "Held", "allocated", "forward_bytes",
    "keep_large_apart", "moments", "peak_bytes", "repeated", "skeleton",
]  # fmt: skip

WALKED = 3
"""Hidden blocks that are looked at one by one; all further ones are as the last of these."""
RECORD_BYTES = 4 * 2**10
"""Of a layer's records, whatever its size: as measured."""
SEPARATE = 8 * 2**20
"""Bytes from which a tensor has memory of its own, given back as soon as it is gone."""
SCATTERED = 1.5
"""Times the bytes of smaller tensors are what they take, for they leave gaps in between."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
DRAWN = torch.float32.itemsize
"""Bytes of an entry as it is drawn, whatever format it is cast to."""
BASE = 8 * 2**20 + MOST_BYTES + LATE_BYTES
"""Bytes of everything else, with the draws that are remembered and tensors still to be read."""


def keep_large_apart() -> None:
    """Let tensors of `SEPARATE` bytes and more have memory of their own in this process: glibc
    would otherwise learn to put ever larger ones between others, where they leave gaps."""
    with contextlib.suppress(AttributeError):  # another C library, whose own way it is
        options = ctypes.CDLL(None).mallopt
        options(M_MMAP_THRESHOLD, SEPARATE)
        options(M_TRIM_THRESHOLD, 2 * SEPARATE)


class Held(NamedTuple):
    """One layer's moments, in bytes held by everything together.

    ``kept``: from its forward pass until its backward pass, with all layers before it; ``forward``
    and ``backward``: at most meanwhile; ``made``: at the end of its backward pass.
    """

    info: LayerInfo
    kept: int
    forward: int
    backward: int
    made: int


def skeleton(experiment: Experiment) -> Experiment:
    """The same with so few blocks that each of them can be looked at."""
    return experiment.model_copy(update={"depth": min(experiment.depth, WALKED)})


def repeated(experiment: Experiment) -> int:
    """How many blocks more than its `skeleton` it has, each as the skeleton's last hidden one."""
    return max(0, experiment.depth - WALKED)


def peak_bytes(experiment: Experiment) -> int:
    """At most, at any moment of both passes with their statistics."""
    held = max(max(m.forward, m.backward) for m in moments(experiment, recorded=True))
    return allocated(held, experiment)


def forward_bytes(experiment: Experiment) -> int:
    """At most, at any moment of the forward pass alone, without statistics."""
    return allocated(max(m.forward for m in moments(experiment)), experiment)


def allocated(held: int, experiment: Experiment, dtype: torch.dtype | None = None) -> int:
    """What the process takes while tensors of this experiment, most of them of its format or of
    ``dtype``, hold so many bytes."""
    size = (dtype or experiment.torch_dtype).itemsize
    entries = max(
        max(experiment.batch, info.n_in * (info.role == "linear_map")) * info.shape[1]
        for info in layout(skeleton(experiment))
    )
    gaps = 1.0 if entries * size >= SEPARATE else SCATTERED
    return BASE + int(held * gaps) + RECORD_BYTES * 2 * (experiment.depth + 1)


def moments(experiment: Experiment, *, recorded: bool = False) -> Iterator[Held]:
    """Of every layer of the first blocks, the last hidden one and the output's, in order;
    ``recorded``: with the statistics of what it makes."""
    found = list(_walk(skeleton(experiment), recorded))
    more = repeated(experiment)
    if not more:
        return iter(found)
    ends = [i for i, m in enumerate(found) if m.info.ends_block]
    before, last = ends[-4], ends[-3]  # of the hidden blocks but the last, whose sum nobody needs
    further = more * (found[last].kept - found[before].kept)
    return iter([*found[: last + 1], *(_later(m, further) for m in found[last + 1 :])])


def _later(moment: Held, bytes_before: int) -> Held:
    info, *held = moment
    return Held(info, *(n + bytes_before for n in held))


def _walk(experiment: Experiment, recorded: bool) -> Iterator[Held]:
    dtype = experiment.torch_dtype
    size, batch = dtype.itemsize, experiment.batch
    read = 4 if recorded and size < 4 else 0  # statistics read narrow formats as float32
    infos = layout(experiment)
    sources = {info.source for info in infos}
    x = batch * experiment.n_inputs * size
    kept = x + 2 * batch * experiment.n_outputs * size  # with the target, and the loss's own
    drawn = batch * experiment.n_inputs * DRAWN
    x_is_kept = True  # whoever ran the network has its input
    lent: dict[int, int] = {}  # by layer: its output, where nothing but a sum to come keeps it
    for info in infos:
        shape = Shape(batch, info.n_in, info.shape[1])
        of = footprint(info.layer, dtype)
        weights, saved = of.parameters.of(shape), of.saved.of(shape)
        cast = weights + Size(matrix=DRAWN).of(shape) if weights and size != DRAWN else weights
        y = batch * info.shape[1] * size
        loose = 0 if x_is_kept else x
        before = kept + loose
        reading = read * max(y, weights) // size
        forward = max(
            kept + drawn,
            before + max(cast, _drawing(experiment, shape) if weights else 0),
            before + weights + max(largest(of.forward, shape), y + saved + reading),
        )
        kept += weights + saved + (loose if of.keeps_input else 0)
        if of.keeps_input:
            lent.pop(info.index - 1, None)
        if info.source is not None:
            kept -= lent.pop(info.source, 0)
        if info.index in sources and not of.keeps_output:
            lent[info.index] = y
        x_is_kept = of.keeps_output or info.index in sources
        kept += y if x_is_kept else 0
        by_input = batch * info.n_in * size
        shortcut = y if _is_bridged(info, infos) else 0
        made = kept + y + shortcut + by_input + weights
        backward = max(kept + y + shortcut + largest(of.backward, shape), made + reading)
        yield Held(info, kept, forward, backward, made)
        x, drawn = y, 0


def _is_bridged(info: LayerInfo, infos: Iterable[LayerInfo]) -> bool:
    """Whether the gradient of its block's sum waits while this layer is gone back through."""
    return any(other.source is not None and other.block == info.block for other in infos)


def _drawing(experiment: Experiment, shape: Shape) -> int:
    unseen = INITS[experiment.init].draw_bytes(shape.n_in, shape.n_out)
    return largest(_draw(experiment.init), shape) + unseen


@cache
def _draw(init: str) -> tuple[Size, ...]:
    """What drawing a weight takes, and bringing it to its scale, at its moments."""
    scheme = INITS[init]
    generator = torch.Generator().manual_seed(0)
    x = torch.linspace(-2, 2, TINY.batch * TINY.n_in).view(TINY.batch, TINY.n_in)
    with Watch(TINY) as watch:
        weight = scheme.draw(TINY.n_in, TINY.n_out, generator=generator)
        if scheme.calibrate is not None:
            weight = scheme.calibrate(weight, x)
        weight = weight * 1.0
    return tuple(watch.peaks)
