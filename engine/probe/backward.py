"""When a backward pass begins, and when it has ended: told by whoever sees it first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge
from torch.utils.hooks import RemovableHandle

__all__ = ["BackwardPasses"]


class BackwardPasses:
    """Calls ``begins`` before the first gradient of a backward pass is there, and ``ended`` after
    the last; so for one inside a checkpoint."""

    def __init__(
        self,
        begins: Callable[[], None],
        ended: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.seen = False
        """Whether there was one since ``end_step``."""
        self.going = False
        """Whether one goes on, and ``goes`` need not be called."""
        self._begins = begins
        self._tell_end = ended
        self._failed = failed
        self._handles: list[RemovableHandle] = []
        self._nodes: list[Any] = []
        """Held, for a parameter makes another one where nobody does."""

    def goes(self) -> None:
        """Called in a backward pass, before anything of what is asked about has happened."""
        if not self.going:
            self.going = self.seen = True
            self._begins()
            _queue(self._nearly_ended)

    def ask(self, parameters: Iterable[Tensor]) -> None:
        """Of these too, before their gradients are added to: where the modules' hooks see nothing,
        as in what is compiled. The hooks are those of the graph; nothing is left in a parameter."""
        for parameter in parameters:
            if parameter.requires_grad and parameter.is_leaf:
                node: Any = get_gradient_edge(parameter).node
                self._nodes.append(node)
                self._handles.append(node.register_prehook(self._arrives))

    def end_step(self) -> None:
        """Leaves no hook anywhere."""
        self.going = self.seen = False
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._nodes.clear()

    def _arrives(self, *_: object) -> None:
        try:
            self.goes()
        except Exception as error:
            self._failed(error)

    def _nearly_ended(self) -> None:
        """Others have asked to be told too, and change gradients then, as
        DistributedDataParallel does, which puts the ranks' mean there: they come first."""
        _queue(self._ended)

    def _ended(self) -> None:
        self.going = False
        try:
            self._tell_end()
        except Exception as error:
            self._failed(error)


def _queue(call: Callable[[], None]) -> None:
    torch.autograd.Variable._execution_engine.queue_callback(call)
