"""Values as JSON: the one way in which answers, streams and pages write them."""

from __future__ import annotations

from typing import Any

import orjson

__all__ = ["json_bytes", "json_text"]

OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_NON_STR_KEYS


def json_bytes(value: object) -> bytes:
    """``value`` as JSON: whatever is none of its types by its ``to_dict``, bytes as the text they
    hold, a key that is no text as one, and null for what is not finite.

    >>> json_bytes({1: float("nan"), "a": b"b"})
    b'{"1":null,"a":"b"}'

    Errors: ``TypeError`` for what has no ``to_dict``.
    """
    return orjson.dumps(value, _told, OPTIONS)


def json_text(value: object) -> str:
    """The same as text, as server-sent events and pages have it."""
    return json_bytes(value).decode()


def _told(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value.to_dict()
