"""One recorded step of a training, as it is written, sent and read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from functools import cached_property, lru_cache
from typing import Annotated, Any, ClassVar

import msgspec

from layerscope.engine.basis.serial import Serial
from layerscope.engine.execution.records import ParameterRecord, Record
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.statistics import Figures, Statistics, Units

__all__ = [
    "Group", "Look", "MadeOf", "ModuleStep", "Oddity", "Origin", "Outline", "Quantity", "Slot",
    "Step", "Task", "slot_places", "update_ratio",
]  # fmt: skip


class Quantity(IntEnum):
    """What of a module a statistic is about."""

    ACTIVATION = 0
    """Its output; all calls of the step taken together."""
    GRADIENT = 1
    """The gradient of the loss by that output."""
    VALUE = 2
    """A parameter, as it was in the step's forward pass."""
    PARAMETER_GRADIENT = 3
    """A parameter's gradient, as the optimiser saw it: after clipping, unscaled."""
    UNCLIPPED = 4
    """The same before whatever changed it between backward pass and optimiser; else not there."""
    UPDATE = 5
    """By what the optimiser changed the parameter."""
    INPUT = 6
    """What went into the module; of the first of the network only."""


class Slot(Serial, gc=False):
    """Which tensor a statistic is about: the module by its index, the quantity, and the place of
    the parameter in its module's facts; 0 where there is none, and for a module's weight."""

    module: int
    quantity: Quantity
    parameter: Annotated[int, msgspec.Meta(ge=0)] = 0


class Look(Serial, gc=False):
    """What is looked at in some of the steps, over the last of these: ``window`` batches.

    ``dead`` units were zero for every sample of all of them. The rest is as in a record.
    """

    window: int
    dead: int | None = None
    units: Units | None = None
    saturation: float | None = None
    units_alike: bool | None = None
    gradients_alike: bool | None = None

    @property
    def over_window(self) -> Units | None:
        """The units, dead where they were in every batch of the window."""
        if self.units is None or self.dead is None:
            return self.units
        return msgspec.structs.replace(self.units, dead=self.dead)


class ModuleStep(Serial, gc=False):
    """What a step says of a module beside statistics. ``training`` is its mode where it differs
    from what its class does otherwise (norms, dropout); ``running`` are a norm's running mean (its
    rms over units) and variance (its mean over units). ``drops``: the share of what goes in that a
    dropout layer of PyTorch's is set to make zero, in training mode."""

    index: int
    shape: tuple[int, ...]
    calls: int
    training: bool | None = None
    running: tuple[float, float] | None = None
    look: Look | None = None
    drops: float | None = None


class Origin(Serial):
    """The first non-finite value of a training: ``direction`` is ``forward``, ``backward``,
    ``loss`` or ``optimizer``, ``where`` the line of the user's code that called the module, and
    ``operands`` what made it, in words built from the tensors."""

    step: int
    direction: str
    module: str | None
    what: str
    where: str | None = None
    operands: str | None = None
    evidence: dict[str, Any] = msgspec.field(default_factory=dict)


class Task(Serial):
    """What the loss was asked, where it was asked through the probe: shapes and dtypes of the
    output and the target, the loss function's name, and whether the output's rows are
    ``probabilities``, not negative and adding up to one; its ``largest`` and ``smallest`` entry.
    ``over_batch``: they, or their logarithms, add up to one over the batch and not over the
    classes. ``smoothing`` is the loss's ``label_smoothing``; ``own``: it is one of PyTorch's, no
    other of that name; ``entry_by_entry``: one that holds the output against a target of its shape,
    or one of the user's that gives the same number; ``several``: a sample's targets add up to more
    than one; ``alike``: the correlation of output and target, entry by entry, where these have
    several a sample, both signs and one shape; ``whole``: the target, where that has another
    shape, holds whole numbers alone, as numbers of classes are. ``lowest`` and ``highest`` of the
    target."""

    loss: str
    output: tuple[int, ...]
    target: tuple[int, ...]
    target_dtype: str
    probabilities: bool
    largest: float
    smallest: float | None = None
    over_batch: bool = False
    smoothing: float = 0.0
    own: bool = False
    entry_by_entry: bool = False
    whole: bool = False
    lowest: float | None = None
    highest: float | None = None
    several: bool = False
    alike: float | None = None


class MadeOf(Serial):
    """What the loss was asked, by autograd's graph of it, in a step that looks closer: PyTorch's
    function ``loss``, and what made what that was ``given``: ``softmax``, ``log_softmax``,
    ``sigmoid``, ``tanh``, ``relu``, ``log``, ``cosine``, ``scaled cosine``, by a number that nobody
    learns, ``product`` or ``linear``; empty where it is something else. ``output`` is its shape,
    and ``stretched`` the one to which output and target were broadcast; ``alone``: the loss is that
    function's mean and nothing more. ``over``: the axis over which the softmax was taken, where
    that is not the classes'. ``times``: the loss is that function's number times another, or less
    than nothing of it."""

    loss: str
    given: str
    output: tuple[int, ...]
    stretched: tuple[int, ...] | None
    alone: bool
    over: int | None = None
    times: bool = False


class Oddity(Serial):
    """What the graph between input and loss tells: a ``view`` that mixes axes up, of one shape as
    another, a ``softmax over samples`` or ``softmax of one`` number, of one shape, or parameters
    ``made anew`` for every loss, of the shape of one of them. ``behind``: the parameter whose
    numbers come to it first. What else it tells, and what inputs and targets tell beside each
    other, has its names and numbers where it is found: in ``layering``, ``latent``, ``terms``,
    ``bootstrap`` and ``given_away``."""

    what: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    behind: str | None


class Group(Serial, gc=False):
    """How an optimiser is set up for one of its groups: its class, and of ``eps``, ``momentum``
    (of Adam and its kin the first of ``betas``), the second of these and ``weight_decay`` those
    that it has."""

    kind: str
    eps: float | None = None
    momentum: float | None = None
    second_beta: float | None = None
    weight_decay: float | None = None


def update_ratio(change: Figures | None, value: Figures | None) -> float | None:
    """rms(Δw)/rms(w); None where w is zero or either is not known."""
    if change is None or value is None or not value.rms or change.rms is None:
        return None
    return change.rms / value.rms


class Outline(Serial, dict=True):
    """One recorded step without its histograms; ``statistics`` are about the tensors that ``slots``
    name. The bytes of a ``Step`` can be read as one.

    ``number`` counts optimiser steps from 1, ``time`` is in seconds since the epoch. ``loss`` is
    None where none was given. ``learning_rates`` go by group over all optimisers. ``skipped``: the
    gradient scaler left the optimiser's step out. ``scale`` is the scaler's. ``baseline`` is the
    loss of the best constant output, where the loss was computed through the probe; else, of a
    mean cross entropy, that of equal chances.
    """

    version: ClassVar[int] = 1
    number: int
    time: float
    loss: float | None
    learning_rates: list[float]
    slots: list[Slot]
    statistics: Sequence[Figures]
    modules: list[ModuleStep]
    skipped: bool = False
    scale: float | None = None
    baseline: float | None = None
    origin: Origin | None = None
    stale: int = 0
    """Parameters whose gradient still held what the step before had used."""
    task: Task | None = None
    idle: int = 0
    """Parameters that the optimisers hold, that are none of the model's and have no gradient."""
    hidden: tuple[str, ...] = ()
    """Parameters with a gradient that modules hold in a list of Python's, that no optimiser watched
    has and nobody else has changed."""
    idle_shapes: tuple[tuple[int, ...], ...] = ()
    """Of the ``idle`` ones."""
    full_rate: float | None = None
    """The highest learning rate that a scheduler of PyTorch's has been given, as it noted it."""
    made_of: MadeOf | None = None
    """What the loss was, in a step that looks closer."""
    oddities: tuple[Oddity, ...] = ()
    """What its graph tells beside, in such a step."""
    groups: tuple[Group, ...] = ()
    """Of all optimisers, as ``learning_rates`` are, in such a step."""
    in_training: bool | None = None
    """The mode of the model as a whole, whatever that of its layers is; None in a step of a run
    that did not tell."""
    unstepped: tuple[int, ...] = ()
    """Groups whose optimiser had not taken a single step since the probe began."""

    def __post_init__(self) -> None:
        if len(self.slots) != len(self.statistics):
            raise ValueError(
                f"expected statistics for {len(self.slots)} slots, got {len(self.statistics)}"
            )

    @property
    def looked(self) -> bool:
        """Whether any of its modules was looked at closely."""
        return any(module.look for module in self.modules)

    @cached_property
    def said(self) -> dict[int, ModuleStep]:
        """What the step says of a module beside statistics, by its index."""
        return {module.index: module for module in self.modules}

    @cached_property
    def nonfinite(self) -> dict[int, int]:
        """Entries that are not finite in all that was recorded of a module, by its index."""
        found: dict[int, int] = {}
        for slot, s in zip(self.slots, self.statistics, strict=True):
            found[slot.module] = found.get(slot.module, 0) + s.count - s.finite
        return found

    @cached_property
    def _places(self) -> Mapping[tuple[int, int, int], int]:
        return slot_places(_encoder.encode(self.slots))

    @property
    def by_slot(self) -> Mapping[tuple[int, int, int], Figures]:
        """The figures by module index, quantity and the parameter's place."""
        return {key: self.statistics[place] for key, place in self._places.items()}

    def of(self, module: int, quantity: Quantity, parameter: int = 0) -> Figures | None:
        """Of one tensor; None where it was not recorded."""
        place = self._places.get((module, quantity, parameter))
        return None if place is None else self.statistics[place]

    def update_ratio(self, module: int, parameter: int = 0) -> float | None:
        """rms(Δw)/rms(w) of one parameter; None where w is zero or either is not known."""
        return update_ratio(
            self.of(module, Quantity.UPDATE, parameter), self.of(module, Quantity.VALUE, parameter)
        )


class Step(Outline, dict=True):
    """Everything recorded of one step."""

    statistics: Sequence[Statistics]

    def of(self, module: int, quantity: Quantity, parameter: int = 0) -> Statistics | None:
        found = super().of(module, quantity, parameter)
        return found if isinstance(found, Statistics) else None

    def records(self, facts: Iterable[ModuleFacts]) -> list[Record]:
        """The records of the modules that were called, in forward order, for the rules."""
        facts = list(facts)
        said = self.said
        places = {
            f"{f.name}.{name}".lstrip("."): (f.index, place)
            for f in facts
            for place, name in enumerate(f.parameters)
        }
        found = []
        for each in facts:
            activation = self.of(each.index, Quantity.ACTIVATION)
            if activation is None:
                continue
            module = said.get(each.index)
            look = module.look if module else None
            shaped = msgspec.structs.replace(each, shape=module.shape) if module else each
            found.append(
                Record(
                    facts=shaped,
                    activation=activation,
                    parameters=self._parameters(each, places),
                    units=look.over_window if look else None,
                    saturation=look.saturation if look else None,
                    units_alike=look.units_alike if look else None,
                    gradient=self.of(each.index, Quantity.GRADIENT),
                    gradients_alike=look.gradients_alike if look else None,
                )
            )
        return found

    def _parameters(
        self, facts: ModuleFacts, places: Mapping[str, tuple[int, int]]
    ) -> dict[str, ParameterRecord]:
        found = {}
        for own, (name, each) in enumerate(facts.parameters.items()):
            module, place = places.get(each.tied_to or "", (facts.index, own))
            value = self.of(module, Quantity.VALUE, place)
            if value is not None:
                gradient = self.of(module, Quantity.PARAMETER_GRADIENT, place)
                found[name] = ParameterRecord(each.shape, value, gradient)
        return found


@lru_cache(maxsize=64)
def slot_places(slots: bytes) -> Mapping[tuple[int, int, int], int]:
    """Where the figures of each tensor are, by module, quantity and the parameter's place: for
    nearly all steps of a run the same. Nowhere where the bytes are no slots."""
    try:
        found = _slots.decode(slots)
    except msgspec.MsgspecError:
        return {}
    return {(s.module, int(s.quantity), s.parameter): place for place, s in enumerate(found)}


_encoder = msgspec.msgpack.Encoder()
_slots = msgspec.msgpack.Decoder(list[Slot])
