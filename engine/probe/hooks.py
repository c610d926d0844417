"""The two global hooks of modules: what they see of a forward and of a backward pass.

Hooks that are global, and filtered by the modules' ids, leave nothing in the model: it pickles and
deep-copies as ever, and PyTorch's own decisions that depend on a module's hooks stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.hooks import RemovableHandle

from layerscope.engine.probe.collecting import Collector
from layerscope.engine.probe.lines import users_line
from layerscope.engine.probe.outputs import main_tensor
from layerscope.engine.probe.watched import Leaf, Watched

__all__ = ["Call", "Mode", "ModuleHooks"]

MOST_KEPT_BYTES = 256 * 2**20
"""Of outputs that are kept until the step's end; of what comes beyond only the module is kept."""


class Mode(IntEnum):
    """What is done in a step."""

    OFF = 0
    LOOK_OUT = 1
    """Outputs are kept until the step's end, should anything be non-finite."""
    RECORD = 2


class Call(NamedTuple):
    """One call of a watched module; the tensors only as far as they are kept."""

    leaf: Leaf
    inputs: tuple[Any, ...] | None
    output: Tensor | None


class ModuleHooks:
    """Follows the calls of the watched modules, and the gradients that come back to them.

    ``looker`` is called in steps that look closer, with the leaf, the inputs and the output.
    """

    def __init__(
        self,
        watched: Watched,
        collector: Collector,
        failed: Callable[[BaseException], None],
        looker: Callable[[Leaf, tuple[Any, ...], Tensor], None],
        backward_ended: Callable[[], None],
    ) -> None:
        self.mode = Mode.OFF
        self.looks = False
        """Whether ``looker`` is asked."""
        self.calls: list[Call] = []
        """Of this step, in order; those of a checkpoint's second forward pass left out."""
        self.gradients: list[Leaf] = []
        """Leaves whose gradient came, in the order in which they did."""
        self._watched = watched
        self._collector = collector
        self._failed = failed
        self._looker = looker
        self._backward_ended = backward_ended
        self._announced = False
        self._kept = 0
        self._seen: list[tuple[Leaf, bool, Tensor, int]] = []
        self._handles: list[RemovableHandle] = []
        self._handle = register_module_forward_hook(self._forward)

    def remove(self) -> None:
        """Leaves no hook anywhere."""
        self.mode = Mode.OFF
        self._handle.remove()
        self.end_step()

    def end_step(self) -> None:
        """Learns which tensors were changed after they had been seen; lets go of all."""
        for leaf, forward, tensor, version in self._seen:
            if tensor._version != version:
                if forward:
                    leaf.output_at_once = True
                else:
                    leaf.gradient_at_once = True
        for call in self.calls:
            call.leaf.settled = True
            call.leaf.calls = 0
        for handle in self._handles:
            handle.remove()  # of a graph that outlives the step
        self._handles.clear()
        self._seen.clear()
        self.calls = []
        self.gradients = []
        self._kept = 0
        self._announced = False

    def _forward(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if not self.mode or torch.compiler.is_compiling():
            return
        leaf = self._watched.leaves.get(id(module))
        if leaf is None:
            return
        try:
            self._called(leaf, inputs, output)
        except Exception as error:
            self._failed(error)

    def _called(self, leaf: Leaf, inputs: tuple[Any, ...], output: Any) -> None:
        if not (torch.is_grad_enabled() or self._watched.model.training):
            return  # a validation
        within_backward = torch._C._current_graph_task_id() != -1
        tensor = output if type(output) is Tensor and output.dtype is torch.float32 else None
        if tensor is None:
            tensor = main_tensor(output)
        if not within_backward:
            self._keep(leaf, inputs, tensor)
        if self.mode is not Mode.RECORD or tensor is None:
            return
        if leaf.index < 0:
            self._watched.called(leaf, tensor)
            leaf.line = users_line()
        if not within_backward:  # else a checkpoint computes it again
            leaf.calls += 1
            leaf.shape = tensor.shape
            self._add(leaf, forward=True, tensor=tensor)
            if leaf.index == 0:
                self._input(leaf, inputs)
            if self.looks:
                self._looker(leaf, inputs, tensor)
        node = tensor.grad_fn
        if node is not None:
            self._handles.append(
                node.register_prehook(partial(self._backward, leaf, tensor.output_nr))
            )

    def _keep(self, leaf: Leaf, inputs: tuple[Any, ...], output: Tensor | None) -> None:
        if output is not None:
            self._kept += output.nbytes
            if self._kept > MOST_KEPT_BYTES:
                self.calls.append(Call(leaf, None, None))
                return
        self.calls.append(Call(leaf, inputs, output))

    def _input(self, leaf: Leaf, inputs: tuple[Any, ...]) -> None:
        given = main_tensor(inputs)
        if given is not None:
            self._collector.add(leaf.input, given)

    def _add(self, leaf: Leaf, forward: bool, tensor: Tensor) -> None:
        key = leaf.activation if forward else leaf.gradient
        if not leaf.settled:
            self._seen.append((leaf, forward, tensor, tensor._version))
            self._collector.read_now([key], [tensor])
        elif leaf.output_at_once if forward else leaf.gradient_at_once:
            self._collector.read_now([key], [tensor])
        else:
            self._collector.add(key, tensor)

    def _backward(self, leaf: Leaf, place: int, gradients: tuple[Tensor | None, ...]) -> None:
        if self.mode is not Mode.RECORD:
            return
        try:
            if not self._announced:
                self._announced = True
                engine = torch.autograd.Variable._execution_engine
                engine.queue_callback(self._ended)
            gradient = gradients[place]
            if gradient is not None:
                self.gradients.append(leaf)
                self._add(leaf, forward=False, tensor=gradient)
        except Exception as error:
            self._failed(error)

    def _ended(self) -> None:
        """The backward pass, or one inside a checkpoint, has ended."""
        self._announced = False
        try:
            self._backward_ended()
        except Exception as error:
            self._failed(error)
