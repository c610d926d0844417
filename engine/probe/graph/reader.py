"""What autograd's graph tells between the input and the loss, where no module's hook sees it: views
that mix axes up, softmaxes over the samples or over a single number, parameters made anew."""

from __future__ import annotations

import contextlib
import math
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from layerscope.engine.probe.graph.attention import unscaled
from layerscope.engine.probe.graph.bootstrap import bootstrapped
from layerscope.engine.probe.graph.latent import latent
from layerscope.engine.probe.graph.layering import hidden_softmax, linear_network
from layerscope.engine.probe.graph.operations import (
    LEAF,
    NameOf,
    axis,
    is_map,
    kind,
    operands,
    shape,
)
from layerscope.engine.probe.graph.rearranged import mixes
from layerscope.engine.probe.graph.terms import terms_beside
from layerscope.engine.probe.step import Oddity

__all__ = ["GraphReader"]

VIEWS = frozenset({"View", "UnsafeView", "ReshapeAlias"})
SOFTMAXES = frozenset({"Softmax", "LogSoftmax"})
OF_ATTENTION = "in_proj_"
"""PyTorch's own attention counts its heads with the samples: where a head has as many numbers as
there are samples these axes look exchanged."""
MOST_NODES = 4096
"""Of a graph: operations beyond these are not looked at."""
MOST_GRAPHS = 3
"""Those of later steps are like the first."""


class GraphReader:
    """Goes through the graphs of a training's first losses; ``name_of`` names a parameter of the
    model, and gives None for others."""

    def __init__(self, name_of: NameOf) -> None:
        self._name_of = name_of
        self._left = MOST_GRAPHS
        self._found: dict[str, Oddity] = {}
        self._strangers: list[weakref.ref[nn.Parameter]] | None = None
        """Parameters in the last graph that are not the model's."""

    def read(self, loss: Any, samples: int) -> tuple[Oddity, ...]:
        """What has been found up to this loss, one of each kind; ``samples``: of the batch."""
        if self._left and isinstance(loss, Tensor) and loss.grad_fn is not None:
            self._left -= 1
            with contextlib.suppress(Exception):  # operations of others' may answer with any
                self._go_through(loss.grad_fn, samples)
        return tuple(self._found.values())

    def _go_through(self, root: Any, samples: int) -> None:
        strangers, nodes = [], list(_nodes(root))
        for node in nodes:
            what = kind(node)
            if node.name() == LEAF:
                if isinstance(node.variable, nn.Parameter) and not self._name_of(node.variable):
                    strangers.append(node.variable)
            elif what in VIEWS:
                self._view(node)
            elif what == "NativeGroupNorm":
                self._groups(node)
            elif what in SOFTMAXES:
                self._softmax(node, samples)
        for found in (
            linear_network(nodes, self._name_of), hidden_softmax(nodes, self._name_of),
            bootstrapped(nodes, self._name_of),
            *latent(nodes, self._name_of), *terms_beside(root, self._name_of),
            *unscaled(nodes, self._name_of),
        ):  # fmt: skip
            if found is not None:
                self._note(found)
        if self._strangers is not None:
            self._made_anew(strangers)
        self._strangers = [weakref.ref(each) for each in strangers]

    def _view(self, node: Any) -> None:
        before = tuple(int(n) for n in getattr(node, "_saved_self_sym_sizes", ()))
        if "view" in self._found or not mixes(before, after := shape(node)):
            return
        behind = self._behind(node)
        if behind is None or not behind.rpartition(".")[2].startswith(OF_ATTENTION):
            self._found["view"] = Oddity("view", before, after, behind)

    def _groups(self, node: Any) -> None:
        """A norm that has a single number in each of its groups."""
        told = [getattr(node, f"_saved_{name}", 0) for name in ("C", "HxW", "group")]
        channels, places, groups = (each if isinstance(each, int) else 0 for each in told)
        if channels * places == groups > 0:
            self._note(Oddity("norm of one", shape(node), (groups,), self._behind(node)))

    def _softmax(self, node: Any, samples: int) -> None:
        sizes, along = shape(node), axis(node)
        if along is None or any(each.name() == LEAF for each in operands(node)):
            return  # of a parameter: weights of a mixture
        # One number a sample is its weight among the others, or its place in a list of them.
        over_samples = along == 0 and math.prod(sizes[1:]) > 1 and sizes[0] == samples > 1
        if kind(node) == "LogSoftmax":  # chances alone are asked for their logarithms
            over_samples &= _of_layer(node)
        elif sizes[along] == 1 < max(sizes):
            self._note(Oddity("softmax of one", sizes, sizes, self._behind(node)))
            return
        # Of each sample against each the other direction is meant as often; of what a layer gives
        # for each sample the first axis are the samples, however many units it has.
        if over_samples and (sizes[0] != sizes[1] or _of_layer(node)):
            self._note(Oddity("softmax over samples", sizes, sizes, self._behind(node)))

    def _note(self, odd: Oddity) -> None:
        self._found.setdefault(odd.what, odd)

    def _made_anew(self, strangers: list[nn.Parameter]) -> None:
        """For each that was not in the graph before one that was is no more."""
        known = [each() for each in self._strangers or ()]
        new = [p for p in strangers if all(p is not each for each in known)]
        if new and sum(each is None for each in known) >= len(new):
            sizes = tuple(max(new, key=Tensor.numel).shape)
            self._found.setdefault("made anew", Oddity("made anew", sizes, sizes, None))

    def _behind(self, start: Any) -> str | None:
        """The nearest parameter by which what an operation was given was made."""
        for node in _nodes(start):
            if node.name() == LEAF and (name := self._name_of(node.variable)) is not None:
                return name
        return None


def _of_layer(softmax: Any) -> bool:
    """Whether a softmax is taken of what a layer gives, as it is."""
    return any(is_map(each) for each in operands(softmax))


def _nodes(root: Any) -> Iterator[Any]:
    """Every operation and parameter behind one, nearest first."""
    waiting, seen, kept = deque([root]), {id(root)}, []
    while waiting and len(seen) < MOST_NODES:
        node = waiting.popleft()
        kept.append(node)  # an id is of nobody else's as long as its object lives
        yield node
        for each in operands(node):
            if id(each) not in seen:
                seen.add(id(each))
                waiting.append(each)
