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

from layerscope.engine.probe.backward import BackwardPasses
from layerscope.engine.probe.calls import Call, Masks
from layerscope.engine.probe.collecting import Collector
from layerscope.engine.probe.given_away import Attended, attended
from layerscope.engine.probe.lines import users_line
from layerscope.engine.probe.outputs import main_tensor
from layerscope.engine.probe.watched import Key, Leaf, Watched
from layerscope.engine.statistics.device import is_here
from layerscope.engine.statistics.finite import is_finite

__all__ = ["BadGradient", "Mode", "ModuleHooks"]

# Asked at every call of a module: looked up once.
is_compiling, is_grad_enabled = torch.compiler.is_compiling, torch.is_grad_enabled
transform_level = torch._C._functorch.maybe_current_level
graph_task = torch._C._current_graph_task_id


class Mode(IntEnum):
    """What is done in a step."""

    OFF = 0
    LOOK_OUT = 1
    """Nothing is recorded, but a NaN or an infinity is seen."""
    RECORD = 2


RECORD, float32 = Mode.RECORD, torch.float32  # looked up once, too


class BadGradient(NamedTuple):
    """The first gradient by a module's output that was not finite, and the one that came before."""

    leaf: Leaf
    gradient: Tensor
    before: tuple[Leaf, Tensor] | None


class ModuleHooks:
    """Follows the calls of the watched modules, and the gradients that come back to them.

    ``always``: PyTorch is asked to tell of calls in every step, and not only in those that are
    followed; what is compiled would be compiled anew whenever that changed.
    ``looker`` is called in steps that look closer, with the leaf, the inputs and the output;
    ``found`` with the first call of a step whose output is not finite, where that is checked.
    """

    def __init__(
        self,
        watched: Watched,
        collector: Collector,
        failed: Callable[[BaseException], None],
        looker: Callable[[Leaf, tuple[Any, ...], Tensor], None],
        passes: BackwardPasses,
        found: Callable[[Call], None],
        *,
        always: bool,
    ) -> None:
        self._mode = Mode.OFF
        self._always = always
        self._handle: RemovableHandle | None = None
        self.looks = False
        """Whether ``looker`` is asked."""
        self.checks = True
        """Whether outputs and gradients are held against NaN and infinities as they are made."""
        self.calls: list[Leaf] = []
        """Of this step, in order; those of a checkpoint's second forward pass left out."""
        self.bytes = 0
        """Of all outputs of this step."""
        self.bad_gradient: BadGradient | None = None
        self.masks = Masks()
        """Those of this step, where outputs are checked."""
        self.attended: list[Attended] = []
        """Calls of PyTorch's attention, in a step that looks closer."""
        self.given: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        """What the model itself was last called with."""
        self._last_gradient: tuple[Leaf, Tensor] | None = None
        self._found = found
        self._has_found = False
        self._watched = watched
        self._model = watched.model
        self._collector = collector
        self._failed = failed
        self._looker = looker
        self._passes = passes
        self._seen: list[tuple[Key, Tensor, int]] = []
        self._handles: list[RemovableHandle] = []
        if always:
            self._hook()

    @property
    def mode(self) -> Mode:
        """What is done in this step. In one that is not followed PyTorch is asked for no calls: it
        goes a longer way to every module, whatever the hook does then."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode and self._handle is None:
            self._hook()
        elif not mode and not self._always:
            self._unhook()

    def _hook(self) -> None:
        self._handle = register_module_forward_hook(self._forward, with_kwargs=True)

    def _unhook(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def remove(self) -> None:
        """Leaves no hook anywhere."""
        self._mode = Mode.OFF
        self._unhook()
        self.end_step()

    def end_step(self) -> None:
        """Learns which tensors were changed after they had been seen; lets go of all."""
        for key, tensor, version in self._seen:
            key.at_once |= tensor._version != version
        for leaf in self.calls:
            leaf.settled |= leaf.calls > 0
            leaf.calls = 0
        for handle in self._handles:
            handle.remove()  # of a graph that outlives the step
        self._handles.clear()
        self._seen.clear()
        self.calls = []
        self.bytes = 0
        self.bad_gradient = self._last_gradient = self.given = None
        self.attended = []
        self.masks.clear()
        self._has_found = False

    def _forward(self, module: nn.Module, inputs: Any, named: Any, output: Any) -> None:
        # Dynamo traces this where it compiles a module, and is to see nothing else: at every change
        # of the mode it would compile all anew, or refuse to.
        if is_compiling() or not (mode := self._mode):
            return
        leaf = self._watched.leaves.get(id(module))
        whole = module is self._model
        if leaf is None and not whole:
            return
        if not (is_grad_enabled() and transform_level() is None) and not self._trains():
            return
        if whole:
            self.given = inputs, named
            if self.masks.call is not None:
                self.masks.left = main_tensor(output)
        if leaf is None:
            return
        try:
            if self.looks and isinstance(module, nn.MultiheadAttention):
                call = attended(leaf.name, module, inputs, named)
                self.attended += [] if call is None else [call]
            if (
                leaf.settled and mode is RECORD and not self.checks
                and type(output) is Tensor and output.dtype is float32
                and not output.is_inference() and graph_task() == -1
            ):  # fmt: skip
                self._known_call(leaf, inputs, output)
            else:
                self._called(leaf, inputs, named, output)
        except Exception as error:
            self._failed(error)

    def _trains(self) -> bool:
        """Whether this is no validation, and no transform of functorch, whose tensors are not
        there to be read; where either may be."""
        if transform_level() is not None:
            return False
        return self._watched.model.training and not torch.is_inference_mode_enabled()

    def _called(
        self, leaf: Leaf, inputs: tuple[Any, ...], named: dict[str, Any], output: Any
    ) -> None:
        tensor = output if type(output) is Tensor and output.dtype is torch.float32 else None
        if tensor is None:
            tensor = main_tensor(output)
        if tensor is not None and tensor.is_inference():
            tensor = None  # it has no version by which a change could be seen
        again = graph_task() != -1  # a checkpoint computes it a second time
        if not again:
            self.calls.append(leaf)
            if tensor is not None:
                self.bytes += tensor.nbytes
                here = self.checks and is_here(tensor)  # an accelerator would be waited for
                if here and not self._has_found:
                    self._check(leaf, inputs, named, tensor)
        if self._mode is Mode.RECORD and tensor is not None:
            self._record(leaf, inputs, tensor, again)

    def _check(
        self, leaf: Leaf, inputs: tuple[Any, ...], named: dict[str, Any], tensor: Tensor
    ) -> None:
        """A mask's minus infinities are told if anything comes of them."""
        if is_finite(tensor):
            self.masks.passed(inputs, named)
            return
        call = Call(leaf, inputs, named, tensor, users_line(), first=len(self.calls) == 1)
        with torch.no_grad():  # else what is kept for it would count as the checkpoint's around it
            bad = self.masks.named_for(call)
            if bad is not None:
                self._has_found = True
                self._found(bad)

    def _known_call(self, leaf: Leaf, inputs: tuple[Any, ...], tensor: Tensor) -> None:
        """What ``_called`` and ``_record`` do of a call of which nothing is asked but its tensors:
        the usual one, and every microsecond here is there once a module and step."""
        self.calls.append(leaf)
        self.bytes += tensor.nbytes
        leaf.calls += 1
        leaf.shape = tensor.shape
        key = leaf.activation
        if key.at_once:
            self._collector.read_now([key], [tensor])
        else:
            self._collector.add(key, tensor)
        if not leaf.index:
            self._input(leaf, inputs)
        if self.looks:
            self._looker(leaf, inputs, tensor)
        self._follow(leaf, tensor)

    def _record(self, leaf: Leaf, inputs: tuple[Any, ...], tensor: Tensor, again: bool) -> None:
        if leaf.index < 0:
            self._watched.called(leaf, tensor)
            leaf.line = users_line()
        if not again:
            leaf.calls += 1
            leaf.shape = tensor.shape
            self._add(leaf.activation, tensor)
            if leaf.index == 0:
                self._input(leaf, inputs)
            if self.looks:
                self._looker(leaf, inputs, tensor)
        self._follow(leaf, tensor)

    def _follow(self, leaf: Leaf, tensor: Tensor) -> None:
        """Its gradient is to be seen, without a hook at the tensor."""
        node = tensor.grad_fn
        if node is not None:
            self._handles.append(
                node.register_prehook(partial(self._backward, leaf, tensor.output_nr))
            )

    def _input(self, leaf: Leaf, inputs: tuple[Any, ...]) -> None:
        given = main_tensor(inputs)
        if given is not None and not given.is_inference():
            self._add(leaf.input, given)

    def _add(self, key: Key, tensor: Tensor) -> None:
        if key.leaf.settled and not key.at_once:
            self._collector.add(key, tensor)
            return
        if not key.leaf.settled:
            self._seen.append((key, tensor, tensor._version))
        self._collector.read_now([key], [tensor])

    def _backward(self, leaf: Leaf, place: int, gradients: tuple[Tensor | None, ...]) -> None:
        if self._mode is not RECORD:
            return
        try:
            if not self._passes.going:
                self._passes.goes()
            gradient = gradients[place]
            if gradient is None:
                return
            key = leaf.gradient
            if self.checks and self.bad_gradient is None and is_here(gradient):
                if is_finite(gradient):
                    self._last_gradient = leaf, gradient
                else:
                    self.bad_gradient = BadGradient(leaf, gradient, self._last_gradient)
            if leaf.settled and not key.at_once:
                self._collector.add(key, gradient)
            else:
                self._add(key, gradient)
        except Exception as error:
            self._failed(error)
