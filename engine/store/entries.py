"""What a run is made of: entries in order, numbered from 1, in batches.

They go into a database, over HTTP and onto the disk while a server is away in this one form:
MessagePack, each entry an array of its name and its fields in their order (docs/wire.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec

from layerscope.engine.basis.ending import State
from layerscope.engine.execution.records import Facts
from layerscope.engine.store.plain import LONGEST_NAME

__all__ = [
    "AnyFacts", "Batch", "Entry", "Findings", "Finish", "Modules", "Start", "StepEntry",
    "StoredFinding", "Summary", "facts_of", "packed", "size", "unpacked",
]  # fmt: skip

Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Sequence64 = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Name = Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)]
AnyFacts = TypeVar("AnyFacts", bound=Facts)


class _Entry(msgspec.Struct, array_like=True, frozen=True):
    """One entry; a field added at the end, with a default, leaves older ones readable."""


class Start(_Entry, tag="start", frozen=True):
    """The first entry of every run. ``created``: seconds since 1970 by the writer's clock."""

    name: Name | None
    config: dict[str, Any]
    created: float


class Modules(_Entry, tag="modules", frozen=True):
    """The facts of every module, in forward order; each as ``Facts.to_bytes`` writes it. A later
    entry takes the place of an earlier one."""

    facts: list[bytes]


class StepEntry(_Entry, tag="step", frozen=True):
    """One step. ``payload`` is the probe's; nobody here looks into it. ``nonfinite``: whether
    anything in it is NaN or infinite."""

    number: Number
    time: float
    loss: float | None
    payload: bytes
    nonfinite: bool = False


class StoredFinding(msgspec.Struct, array_like=True, frozen=True):
    """A finding as ``to_dict`` gives it, and of it what lists are made by."""

    severity: Name
    title: Name
    finding: dict[str, Any]


class Findings(_Entry, tag="findings", frozen=True):
    """Findings: added to those before, or all there are from now on (``whole``)."""

    findings: list[StoredFinding]
    whole: bool


class Summary(_Entry, tag="summary", frozen=True):
    """What is known of the run as a whole, in place of what was told before."""

    summary: dict[str, Any]


class Finish(_Entry, tag="finish", frozen=True):
    """How the run ended."""

    state: State
    time: float


Entry = Start | Modules | StepEntry | Findings | Summary | Finish


class Batch(msgspec.Struct, array_like=True, frozen=True):
    """Entries ``first``, ``first`` + 1, … of one run; none at all says that its writer is alive."""

    version: ClassVar[int] = 1

    first: Sequence64
    entries: list[Entry]

    def to_bytes(self) -> bytes:
        """A version byte, then MessagePack."""
        return bytes((self.version,)) + _encoder.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Batch:
        """What ``to_bytes`` wrote, checked through and through.

        Errors: ``ValueError`` naming what was expected and where.
        """
        if data[:1] != bytes((cls.version,)):
            found = data[0] if data else "no byte at all"
            raise ValueError(f"expected a batch of version {cls.version}, got {found}")
        try:
            batch: Batch = _decoder.decode(data[1:])
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise ValueError(f"not a batch: {error}") from None
        for number, entry in enumerate(batch.entries, batch.first):
            _check(number, entry)
        return batch


def _check(number: int, entry: Entry) -> None:
    """What types can't say."""
    if (number == 1) is not isinstance(entry, Start):
        raise ValueError(f"entry {number}: `start` is the first entry of a run, and no other")
    times = [getattr(entry, name, 0.0) for name in ("time", "created")]
    if not all(map(math.isfinite, times)):
        raise ValueError(f"entry {number}: expected a finite time, got {times}")
    if isinstance(entry, Modules):
        for facts in entry.facts:
            try:
                Facts.from_bytes(facts)
            except ValueError as error:
                raise ValueError(f"entry {number}: {error}") from None


def size(entry: Entry) -> int:
    """About how many bytes an entry takes."""
    if isinstance(entry, StepEntry):
        return len(entry.payload) + 40
    return len(_encoder.encode(entry))


def packed(value: Any) -> bytes:
    """A plain value as it lies in a column."""
    return _encoder.encode(value)


def unpacked(data: bytes | None) -> Any:
    """And back; None for nothing."""
    return None if data is None else msgspec.msgpack.decode(data)


def facts_of(packed_facts: bytes | None, kind: type[AnyFacts]) -> list[AnyFacts]:
    """The facts of a `Modules` entry as it lies in its column, with what ``kind`` knows of them."""
    found: Sequence[bytes] = unpacked(packed_facts) or ()
    return [kind.from_bytes(each) for each in found]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Batch)
