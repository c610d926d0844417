"""Running a module or a loss a second time, to learn what made a value, without leaving a trace:
on a copy of it and of its inputs, with every random state as it was."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from layerscope.engine.execution.provenance import Ailment, Cause, causes
from layerscope.engine.probe.facts import own_parameters
from layerscope.engine.probe.outputs import fresh, main_tensor, tensors

__all__ = ["made_by", "made_by_loss", "random_state"]


@contextmanager
def random_state() -> Iterator[None]:
    """Whatever is drawn in the block, after it is drawn as if nothing had been: torch's state of
    every device, NumPy's and Python's."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def made_by(
    module: nn.Module,
    name: str,
    inputs: Sequence[Any],
    named: Mapping[str, Any],
    output: Tensor,
    asked: Collection[Ailment],
) -> list[Cause]:
    """Why the ``output`` of a call of ``module``, which goes by ``name``, has the ailments
    ``asked``; nothing where the module cannot be copied or called twice.

    >>> x, layer = torch.tensor([0.0, 1.0]), nn.LogSigmoid()
    >>> layer.forward = torch.log
    >>> [cause] = made_by(layer, "log", (x,), {}, torch.log(x), ["Inf"])
    >>> cause.said
    'ln 0 = −Inf, at [0]'
    """
    with contextlib.suppress(Exception), random_state():  # whatever it does a second time
        twin = copy.deepcopy(module)
        given, keywords = fresh(tuple(inputs)), fresh(dict(named))
        names = {f"{name}.{n}": p.detach() for n, p in own_parameters(twin)}
        names |= {f"{name}'s input": t.detach() for t in tensors((given, keywords))}

        def again() -> Tensor:
            result = main_tensor(twin.forward(*given, **keywords))
            if result is None:
                raise TypeError(f"{name}: expected a tensor of floats a second time")
            return result

        return causes(again, names, tensor="activation", asked=asked, seen=output.detach())
    return []


def made_by_loss(
    function: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any], loss: float
) -> list[Cause]:
    """Why ``function(*given, **named)`` was ``loss``, which is not finite; nothing where it cannot
    be asked twice. The output comes first in ``given``, the target second.

    >>> y = torch.zeros(2)
    >>> [cause] = made_by_loss(lambda y, t: (t * y.log()).sum(), (y, y + 1), {}, -torch.inf)
    >>> cause.said
    'ln 0 = −Inf'
    """
    with contextlib.suppress(Exception), random_state():
        twin = copy.deepcopy(function) if isinstance(function, nn.Module) else function
        copies, keywords = fresh(tuple(given)), fresh(dict(named))
        asked: list[Ailment] = ["NaN" if loss != loss else "Inf"]
        names = {
            name: tensor.detach()
            for name, each in zip(("output", "target"), copies, strict=False)
            if (tensor := next(tensors(each), None)) is not None
        }
        return causes(lambda: twin(*copies, **keywords), names, tensor="loss", asked=asked)
    return []
