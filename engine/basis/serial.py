"""Values that go to bytes and back exactly: MessagePack by position, after a version byte."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

import msgspec
import numpy as np

__all__ = ["Serial"]

MOST_COUNTS = 1 << 16
"""Of a packed histogram: few bytes must not become gigabytes."""


class Serial(msgspec.Struct, array_like=True):
    """A value whose fields are written in their order, without their names.

    A field added at the end, with a default, leaves bytes written before readable; any other
    change of fields needs a new ``version``.
    """

    version: ClassVar[int] = 1

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, as JSON has them: lists for tuples, None for what is not there."""
        return self.part(*self.__struct_fields__)

    def part(self, *names: str) -> dict[str, Any]:
        """The same of some fields."""
        return {name: _plain(getattr(self, name)) for name in names}

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> Self:
        """The value that ``to_dict`` wrote.

        Errors: ``ValueError`` naming what does not fit.
        """
        try:
            value: Self = msgspec.convert(_positions(cls, entries), cls, dec_hook=_unpacked)
        except (KeyError, msgspec.MsgspecError) as error:
            raise ValueError(f"{cls.__name__}: {error}") from None
        return value

    @classmethod
    def by_field(cls, entries: Mapping[str, Any]) -> Mapping[str, Any]:
        """What ``to_dict`` wrote, by the fields' names, should it have given them others."""
        return entries

    def to_bytes(self) -> bytes:
        """The compact form; NaN and infinities included."""
        return bytes((self.version,)) + _encoder.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The value that ``to_bytes`` wrote.

        Errors: ``ValueError`` naming the version, where it is another, or what does not fit.
        """
        if data[:1] != bytes((cls.version,)):
            found = data[0] if data else "no byte at all"
            raise ValueError(f"{cls.__name__}: expected version {cls.version}, got {found}")
        try:
            value: Self = _decoder(cls).decode(data[1:])
        except msgspec.MsgspecError as error:
            raise ValueError(f"{cls.__name__}: {error}") from None
        return value


def _positions(kind: Any, value: Any) -> Any:
    """What ``to_dict`` wrote of a ``kind``, by position, whatever is nested in it."""
    kinds = (kind, *get_args(kind))
    nested = next((k for k in kinds if isinstance(k, type) and issubclass(k, Serial)), None)
    if nested is None or value is None:
        return value
    if isinstance(value, list):
        return [_positions(nested, entry) for entry in value]
    if get_origin(kind) is dict:
        return {name: _positions(nested, entry) for name, entry in value.items()}
    entries, types = nested.by_field(value), _types(nested)
    return [_positions(types[name], entries[name]) for name in nested.__struct_fields__]


def _plain(value: Any) -> Any:
    if isinstance(value, Serial):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def _packed(array: np.ndarray[Any, np.dtype[np.int64]]) -> list[int]:
    """Counts, a run of k zeros written as −k: histograms of a wide range are nearly empty."""
    counts: list[int] = array.tolist()
    if 0 not in counts:
        return counts
    packed: list[int] = []
    for count in counts:
        if count or not packed or packed[-1] > 0:
            packed.append(count or -1)
        else:
            packed[-1] -= 1
    return packed


def _unpacked(_: type, packed: list[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    try:
        counts = np.array(packed, np.int64)
    except OverflowError:
        raise ValueError("expected counts of 64 bits") from None
    runs = [count for count in packed if count < 0]
    if not runs:
        return counts
    if (entries := len(packed) - len(runs) - sum(runs)) > MOST_COUNTS:
        raise ValueError(f"expected at most {MOST_COUNTS} counts, got {entries} or more")
    unpacked = np.zeros(entries, np.int64)
    at = 0
    for count in packed:  # a few dozen: quicker than NumPy's ways
        if count > 0:
            unpacked[at] = count
        at += -count if count < 0 else 1
    return unpacked


_types = cache(get_type_hints)
_encoder = msgspec.msgpack.Encoder(enc_hook=_packed)


@cache
def _decoder(kind: type) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind, dec_hook=_unpacked)
